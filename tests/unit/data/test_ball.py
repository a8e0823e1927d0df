"""The simulated balls do as balls do, and their frames show where they are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from elman import ConfigError
from elman.data._ball import BAR, Box, ball, fly, render, throw

BOXES = [Box(), Box(balls=3), Box(balls=2, gravity=0.0), Box(balls=2, gravity=0.02, speed=0.1)]


@pytest.mark.parametrize("box", BOXES)
def test_energy_stays_and_nothing_leaves_the_box_or_enters_another(box: Box) -> None:
    p, v = fly(*throw(np.random.default_rng(1), 40, box), 60, box)
    energy = ((v**2).sum(-1) / 2 + box.gravity * p[..., 1]).sum(-1)
    assert np.ptp(energy, axis=1).max() < 1e-12
    assert p.min() > box.radius - 1e-12
    assert p.max() < 1 - box.radius + 1e-12
    for i, j in combinations(range(box.balls), 2):
        assert np.linalg.norm(p[:, :, i] - p[:, :, j], axis=-1).min() > 2 * box.radius - 1e-9


def test_a_ball_falls_and_comes_back_to_where_it_was_dropped() -> None:
    box = Box(gravity=0.01, radius=0.1)
    period = 2 * np.sqrt(2 * 0.5 / box.gravity)  # down 0.5, and up again
    assert period == pytest.approx(20)
    p, v = fly(np.array([[[0.5, 0.6]]]), np.zeros((1, 1, 2)), 41, box)
    t = np.arange(11)
    np.testing.assert_allclose(p[0, :11, 0, 1], 0.6 - 0.005 * t**2, atol=1e-12)
    np.testing.assert_allclose(p[0, [0, 20, 40], 0], [[0.5, 0.6]] * 3, atol=1e-9)
    np.testing.assert_allclose(v[0, 9, 0, 1], -v[0, 11, 0, 1], atol=1e-9)


def test_two_balls_exchange_their_velocities_where_they_meet() -> None:
    box = Box(balls=2, gravity=0.0, radius=0.1)
    p, v = np.array([[[0.2, 0.5], [0.8, 0.5]]]), np.array([[[0.05, 0.0], [-0.03, 0.0]]])
    after, speed = fly(p, v, 8, box)
    np.testing.assert_allclose(speed[0, -1], [[-0.03, 0], [0.05, 0]], atol=1e-12)
    np.testing.assert_allclose(after[0, -1].mean(0), p[0].mean(0) + 7 * v[0].mean(0), atol=1e-12)


def test_momentum_stays_while_no_wall_is_met() -> None:
    box = Box(balls=2, gravity=0.0, radius=0.1)
    p, v = np.array([[[0.4, 0.45], [0.6, 0.55]]]), np.array([[[0.02, 0.01], [-0.02, 0.0]]])
    _, speed = fly(p, v, 6, box)
    assert not np.allclose(speed[0, 0], speed[0, -1])
    np.testing.assert_allclose(speed.sum(2)[0], np.tile([0.0, 0.01], (6, 1)), atol=1e-12)


def test_the_center_of_the_light_is_where_the_ball_is() -> None:
    box = Box(size=32)
    path = throw(np.random.default_rng(0), 50, box)[0]
    frames = render(path, box)
    across = (np.arange(32) + 0.5) / 32
    x = (frames.sum(1) * across).sum(1) / frames.sum((1, 2))
    y = (frames.sum(2) * across[::-1]).sum(1) / frames.sum((1, 2))
    np.testing.assert_allclose(np.stack([x, y], -1), path[:, 0], atol=0.01)
    assert frames.sum((1, 2)).mean() == pytest.approx(np.pi * (box.radius * 32) ** 2, rel=0.02)


def test_noise_and_a_bar_are_in_the_frames_and_not_in_the_positions() -> None:
    plain, noisy, barred = (
        list(ball(3, 5, 0, **options))
        for options in ({"noise": 0.0}, {"noise": 0.1}, {"noise": 0.0, "occlusion": True})
    )
    for one, other, third in zip(plain, noisy, barred, strict=True):
        assert one["frames"].shape == (5, 20, 20)
        assert one["positions"].shape == (5, 1, 2)
        assert np.array_equal(one["positions"], other["positions"])
        difference = other["frames"].astype(float) - one["frames"]
        assert 5 < difference.std() < 0.1 * 255
        gray = (third["frames"] == round(0.35 * 255)).all((0, 1))
        assert gray.sum() == pytest.approx(BAR * 20, abs=1)


def test_too_many_balls() -> None:
    with pytest.raises(ConfigError, match=r"20 balls of radius 0.08 leave no room"):
        next(ball(1, 2, 0, balls=20))
