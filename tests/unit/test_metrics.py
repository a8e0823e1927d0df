from __future__ import annotations

import math

import pytest
import torch

from elman._errors import ShapeError
from elman.metrics import accuracy, bits_per_char, perplexity


def test_perplexity_of_a_uniform_choice_is_its_size() -> None:
    assert perplexity(math.log(10_000)) == pytest.approx(10_000)
    assert perplexity(0) == 1


def test_perplexity_overflows_to_infinity() -> None:
    assert perplexity(1e4) == math.inf
    assert math.isnan(perplexity(math.nan))


def test_bits_per_char_counts_characters_not_tokens() -> None:
    assert bits_per_char(math.log(256)) == pytest.approx(8)
    assert bits_per_char(math.log(256), tokens_per_char=0.25) == pytest.approx(2)


def test_accuracy_ignores_what_is_masked() -> None:
    predicted, target = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[1, 0], [3, 1]])
    assert accuracy(predicted, target) == 0.5
    assert accuracy(predicted, target, target > 0) == pytest.approx(2 / 3)
    assert math.isnan(accuracy(predicted, target, target > 5))


def test_accuracy_refuses_to_broadcast() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 1\)"):
        accuracy(torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        accuracy(torch.zeros(2), torch.zeros(2), torch.ones(3))
