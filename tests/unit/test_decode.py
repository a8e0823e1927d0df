from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor

from elman._errors import ConfigError
from elman.decode import sample

SCORES = torch.tensor([[0.5, 0.1, 0.3, 0.1]]).log()


def still(token: Tensor, state: Any) -> tuple[Tensor, Any]:
    """A model without memory."""
    return SCORES, state


def draw(count: int, **options: Any) -> list[int]:
    generator = torch.Generator().manual_seed(3)
    return list(sample(still, SCORES, None, length=count, generator=generator, **options))


def test_each_token_and_state_goes_into_the_next_step() -> None:
    seen = []

    def step(token: Tensor, state: int) -> tuple[Tensor, int]:
        seen.append((int(token), state))
        return torch.nn.functional.one_hot((token + 2) % 5, 5).float(), state + 1

    first = torch.tensor([[0.0, 9, 0, 0, 0]])
    assert list(sample(step, first, 10, length=4, temperature=0)) == [1, 3, 0, 2]
    assert seen == [(1, 10), (3, 11), (0, 12)]  # no step is run for nothing


def test_draws_follow_the_probabilities() -> None:
    counts = Counter(draw(4000))
    for token, p in enumerate([0.5, 0.1, 0.3, 0.1]):
        assert counts[token] / 4000 == pytest.approx(p, abs=0.03)


def test_temperature_sharpens_and_flattens() -> None:
    sharp, flat = (Counter(draw(2000, temperature=t)) for t in (0.5, 100.0))
    assert sharp[0] / 2000 == pytest.approx(0.25 / (0.25 + 0.01 + 0.09 + 0.01), abs=0.04)
    assert flat[1] / 2000 == pytest.approx(0.25, abs=0.04)
    assert set(draw(20, temperature=0)) == {0}


def test_top_k_keeps_the_likeliest() -> None:
    assert set(draw(500, top_k=2)) == {0, 2}
    assert set(draw(50, top_k=1)) == {0}
    assert set(draw(500, top_k=99)) == {0, 1, 2, 3}


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_forbidden_tokens_are_never_drawn(temperature: float) -> None:
    assert not {0, 3} & set(draw(300, forbidden=[0, 3], temperature=temperature))


def test_the_same_seed_gives_the_same_tokens() -> None:
    assert draw(50) == draw(50)
    assert draw(50) != list(sample(still, SCORES, None, length=50))


def test_without_a_length_it_goes_on() -> None:
    assert len(list(islice(sample(still, SCORES, None), 100))) == 100
    assert list(sample(still, SCORES, None, length=0)) == []


@pytest.mark.parametrize(
    "options", [{"temperature": -1}, {"temperature": float("nan")}, {"top_k": 0}, {"length": -1}]
)
def test_impossible_settings_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))} must be at least"):
        sample(still, SCORES, None, **options)
