"""Balls that fly and bounce in a box, exactly, rendered as the frames of a video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman._errors import ConfigError

Reals = NDArray[np.float64]
Rows = Iterator[Mapping[str, Any]]

BAR, GRAY = 0.2, 0.35
"""The width of the bar that balls pass behind, and its brightness."""


class Box(NamedTuple):
    """The physics of a box with sides of length 1, and how it is filmed; time is in frames."""

    balls: int = 1
    gravity: float = 0.006
    radius: float = 0.08
    speed: float = 0.04
    noise: float = 0.02
    occlusion: bool = False
    size: int = 20


def ball(rows: int, steps: int, seed: int, **box: Any) -> Rows:
    """Films of balls in a box, and where their centers are in each frame.

    Balls begin anywhere, with velocities drawn from a normal distribution with the deviation
    ``speed``; each is a little darker than the one before it. With ``occlusion`` a gray bar hides a
    part of the box. ``noise`` is the standard deviation of the noise of each pixel, in [0, 1].

    Yields:
        "frames", bytes (steps, size, size) with the top row first, and "positions", (steps,
        balls, 2) with x to the right and y upwards, both in units of the box.
    """
    films = Box(**box)
    draw = np.random.default_rng(seed)
    places, _ = fly(*throw(draw, rows, films), steps, films)
    for path in places:
        frames = render(path, films)
        if films.occlusion:
            left = draw.uniform(0.1, 0.9 - BAR)
            first, last = round(left * films.size), round((left + BAR) * films.size)
            frames[:, :, first:last] = GRAY
        frames += draw.normal(0, films.noise, frames.shape)
        yield {
            "frames": (frames.clip(0, 1) * 255).round().astype(np.uint8),
            "positions": path.astype(np.float32),
        }


def throw(draw: np.random.Generator, rows: int, box: Box) -> tuple[Reals, Reals]:
    """Where balls begin and how fast, each (rows, balls, 2); none lies within another.

    Raises:
        ConfigError: the balls do not fit.
    """
    if box.balls * box.radius**2 > 0.1:
        raise ConfigError(
            f"{box.balls} balls of radius {box.radius} leave no room in the box: use fewer"
        )
    p = np.empty((rows, box.balls, 2))
    again = np.arange(rows)
    while len(again):
        p[again] = draw.uniform(box.radius, 1 - box.radius, (len(again), box.balls, 2))
        pairs = combinations(range(box.balls), 2)
        near = [np.linalg.norm(p[:, i] - p[:, j], axis=1) < 2 * box.radius for i, j in pairs]
        again = np.flatnonzero(np.any(near, axis=0)) if near else again[:0]
    return p, draw.normal(0, box.speed, p.shape)


def fly(p: Reals, v: Reals, steps: int, box: Box) -> tuple[Reals, Reals]:
    r"""Positions and velocities at each frame, (rows, steps, balls, 2), integrated exactly.

    .. math:: p(t) = p + v t - \tfrac12 g t^2 e_y, \qquad v(t) = v - g t e_y

    holds until a ball meets a wall, where one component of its velocity turns round, or another
    ball of its mass, with which it exchanges the components along the line between their centers.
    The times of both are roots of quadratic equations: two balls fall alike, so gravity is not in
    theirs. The energy :math:`\sum \tfrac12 |v|^2 + g y` is conserved.

    Example:
        >>> box = Box(gravity=0.02, radius=0.1)
        >>> p, v = fly(np.array([[[0.5, 0.5]]]), np.array([[[0.1, 0.0]]]), 10, box)
        >>> p[0, :7, 0].round(2).tolist()  # it falls, and meets the floor and the side at once
        [[0.5, 0.5], [0.6, 0.49], [0.7, 0.46], [0.8, 0.41], [0.9, 0.34], [0.8, 0.25], [0.7, 0.14]]
        >>> energy = (v**2).sum(-1) / 2 + 0.02 * p[..., 1]
        >>> bool(np.ptp(energy) < 1e-12)
        True
    """
    p, v = p.copy(), v.copy()
    places, speeds = [p.copy()], [v.copy()]
    for _ in range(steps - 1):
        left = np.ones(len(p))
        while len(rows := np.flatnonzero(left > 0)):
            times = _times(p[rows], v[rows], box)
            event, soonest = times.argmin(1), times.min(1)
            passed = np.minimum(soonest, left[rows])
            p[rows], v[rows] = _free(p[rows], v[rows], passed[:, None], box.gravity)
            meets = soonest < left[rows]
            left[rows] -= passed
            _bounce(v, p, rows[meets], event[meets])
        places.append(p.copy())
        speeds.append(v.copy())
    return np.stack(places, 1), np.stack(speeds, 1)


def _free(p: Reals, v: Reals, t: Reals, gravity: float) -> tuple[Reals, Reals]:
    pull = np.array([0.0, gravity])
    t = t[..., None]
    return p + v * t - pull * t**2 / 2, v - pull * t


def _times(p: Reals, v: Reals, box: Box) -> Reals:
    """How long until each ball meets a side, the floor and the ceiling, then each pair meets."""
    low, high, g = box.radius, 1 - box.radius, box.gravity
    (x, y), (vx, vy) = (np.moveaxis(a, -1, 0) for a in (p, v))
    with np.errstate(divide="ignore", invalid="ignore"):
        side = (np.where(vx > 0, high, low) - x) / vx
        fall = np.sqrt(vy**2 + 2 * g * (y - low))
        # Of the two forms of a root, the one that does not subtract what is nearly equal.
        floor = np.where(vy > 0, (vy + fall) / g, 2 * (y - low) / (fall - vy))
        rise = np.sqrt(vy**2 - 2 * g * (high - y))
        ceiling = np.where(vy > 0, 2 * (high - y) / (vy + rise), np.inf)
        pairs = [_meeting(p, v, i, j, 2 * box.radius) for i, j in _pairs(p.shape[1])]
        times = np.concatenate([side, floor, ceiling, *pairs], 1)
    return np.where(np.isnan(times), np.inf, times.clip(min=0))


def _meeting(p: Reals, v: Reals, i: int, j: int, distance: float) -> Reals:
    between, apart = p[:, i] - p[:, j], v[:, i] - v[:, j]
    a, b = (apart**2).sum(1), (between * apart).sum(1)
    c = (between**2).sum(1) - distance**2
    t = (-b - np.sqrt(b**2 - a * c)) / a
    return np.where(b < 0, t, np.inf)[:, None]


def _bounce(v: Reals, p: Reals, rows: NDArray[np.int64], event: NDArray[np.int64]) -> None:
    """Change the velocities of those rows by what happens in each, as `_times` numbers it."""
    balls = p.shape[1]
    wall = event < 3 * balls
    axis, which = (event >= balls).astype(int), event % balls
    v[rows[wall], which[wall], axis[wall]] *= -1
    for number, (i, j) in enumerate(_pairs(balls)):
        meet = rows[event == 3 * balls + number]
        line = p[meet, i] - p[meet, j]
        line /= np.linalg.norm(line, axis=1, keepdims=True)
        impulse = ((v[meet, i] - v[meet, j]) * line).sum(1, keepdims=True) * line
        v[meet, i] -= impulse
        v[meet, j] += impulse


def _pairs(balls: int) -> list[tuple[int, int]]:
    return list(combinations(range(balls), 2))


def render(path: Reals, box: Box) -> Reals:
    """Frames (steps, size, size) of balls at (steps, balls, 2): 1 is white, edges are smooth."""
    centers = (np.arange(box.size) + 0.5) / box.size
    across = centers - path[..., 0, None]
    up = centers[::-1] - path[..., 1, None]
    distance = np.hypot(across[..., None, :], up[..., :, None])
    covered = ((box.radius - distance) * box.size + 0.5).clip(0, 1)
    shades = np.linspace(1, 0.4, box.balls)[:, None, None]
    frames: Reals = (covered * shades).max(1)
    return frames
