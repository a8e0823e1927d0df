"""Beam search: against all sequences there are, against the likeliest token, and one by one."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman import Recurrent
from elman._errors import ConfigError
from elman.cells import LSTM
from elman.decode import beam, sample

pytestmark = pytest.mark.slow

END, SIZE, LENGTH = 1, 4, 5


class Model(nn.Module):
    """A small random language model, sure enough of itself for its choices to differ."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.table = nn.Embedding(SIZE, 6)
        self.layer = Recurrent(LSTM(6, 8))
        self.out = nn.Linear(8, SIZE)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.8)

    @torch.no_grad()
    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = self.layer.step(self.table(tokens), state)
        return self.out(output), state

    def begin(self, rows: int) -> tuple[Tensor, Any]:
        """Each row begins from a state of its own."""
        torch.manual_seed(7)
        h, c = torch.randn(2, rows, 8)
        return self.step(torch.full((rows,), END), self.layer.cell.State(h, c))


def taken(found: Any, row: int) -> Any:
    """One row of scores and state."""
    scores, state = found
    return scores[row : row + 1], type(state)(*(s[row : row + 1] for s in state))


def log_probability(model: Model, begin: Any, tokens: tuple[int, ...]) -> float:
    (scores, state), total = begin, 0.0
    for token in tokens:
        total += float(scores.log_softmax(-1)[0, token])
        scores, state = model.step(torch.tensor([token]), state)
    return total


def everything(model: Model, begin: Any, penalty: float) -> tuple[float, list[int]]:
    """The best of all sequences that end, or are as long as is allowed."""
    found = []
    for length in range(1, LENGTH + 1):
        for tokens in product(range(SIZE), repeat=length):
            if END not in tokens[:-1] and (tokens[-1] == END or length == LENGTH):
                total = log_probability(model, begin, tokens)
                found.append((total / length**penalty, [t for t in tokens if t != END]))
    return max(found)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.5])
def test_a_wide_beam_finds_the_best_of_all_sequences(penalty: float) -> None:
    model = Model()
    begin = model.begin(3)
    found = beam(model.step, *begin, end=END, width=400, length=LENGTH, penalty=penalty)
    for row in range(3):
        score, tokens = everything(model, taken(begin, row), penalty)
        assert found[row][0].tokens == tokens
        assert found[row][0].score == pytest.approx(score, abs=1e-5)


def test_a_narrow_beam_can_miss_it() -> None:
    model, missed = Model(2), 0
    begin = model.begin(30)
    narrow, wide = (
        beam(model.step, *begin, end=END, width=width, length=LENGTH) for width in (1, 400)
    )
    for one, best in zip(narrow, wide, strict=True):
        assert one[0].score <= best[0].score + 1e-6
        missed += one[0].tokens != best[0].tokens
    assert missed


def test_width_1_is_greedy() -> None:
    model = Model(1)
    begin = model.begin(20)
    found = beam(model.step, *begin, end=END, width=1, length=LENGTH)
    for row in range(20):
        greedy = list(sample(model.step, *taken(begin, row), length=LENGTH, temperature=0))
        stop = greedy.index(END) if END in greedy else LENGTH
        [one] = found[row]
        assert one.tokens == greedy[:stop]
        total = log_probability(model, taken(begin, row), tuple(greedy[: stop + 1]))
        assert one.log_probability == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("width", [1, 2, 3, 7])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_together_as_one_by_one(width: int, penalty: float) -> None:
    model = Model(3)
    begin, lengths = model.begin(25), torch.arange(25) % 9 + 1
    options: dict[str, Any] = {"end": END, "width": width, "penalty": penalty}
    together = beam(model.step, *begin, length=lengths, **options)
    for row, several in enumerate(together):
        [alone] = beam(model.step, *taken(begin, row), length=int(lengths[row]), **options)
        assert [h.tokens for h in several] == [h.tokens for h in alone]
        assert [h.score for h in several] == pytest.approx([h.score for h in alone], abs=1e-5)
        assert all(len(h.tokens) <= lengths[row] for h in several)


def test_the_best_comes_first_and_each_once() -> None:
    model = Model(4)
    for several in beam(model.step, *model.begin(10), end=END, width=6, length=LENGTH):
        scores = [h.score for h in several]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(h.tokens) for h in several}) == len(several)


def test_forbidden_tokens_are_never_taken() -> None:
    model = Model(5)
    begin = model.begin(20)
    found = beam(model.step, *begin, end=END, width=4, length=8, forbidden=[0, 3])
    assert {t for several in found for h in several for t in h.tokens} == {2}
    said = next(h for h in found[0] if len(h.tokens) < 8)
    total = log_probability(model, taken(begin, 0), (*said.tokens, END))
    assert said.log_probability == pytest.approx(total, abs=1e-5)  # they keep their share


@pytest.mark.parametrize("options", [{"width": 0}, {"length": 0}, {"penalty": -1.0}])
def test_impossible_settings(options: dict[str, Any]) -> None:
    model = Model()
    with pytest.raises(ConfigError, match=f"{next(iter(options))} must be at least"):
        beam(model.step, *model.begin(1), end=END, **options)
