"""What may be said, and what may not."""

from __future__ import annotations

import pytest
from scipy import stats

from elman.comparison import Verdict
from elman.comparison._verdict import NOTHING, holm, welch

GOOD, BAD, NOISY = [0.91, 0.92, 0.93], [0.51, 0.52, 0.5], [0.2, 0.9, 0.6]


def test_the_test_is_welchs() -> None:
    for other in (BAD, NOISY):
        expected = stats.ttest_ind(GOOD, other, equal_var=False).pvalue
        assert welch(GOOD, other) == pytest.approx(expected)


def test_values_without_spread() -> None:
    assert welch([1.0] * 3, [1.0] * 3) == 1
    assert welch([1.0] * 3, [0.5] * 3) == 0
    assert 0 < welch([1.0] * 3, GOOD) < 1


def test_the_correction_is_holms() -> None:
    assert holm([0.01, 0.02, 0.9]) == pytest.approx([0.03, 0.04, 0.9])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_only_what_the_spread_allows_is_said() -> None:
    said = Verdict.of({"a": BAD, "b": GOOD, "c": NOISY}, "accuracy", higher_is_better=True)
    assert said.sentences[0].startswith("b is better than a: accuracy 0.92 against 0.51 (p = ")
    assert said.sentences[1].startswith(f"{NOTHING}: b and c (p = ")
    assert len(said.sentences) == 2


def test_lower_can_be_better() -> None:
    (sentence,) = Verdict.of({"a": BAD, "b": GOOD}, "mse", higher_is_better=False).sentences
    assert sentence.startswith("a is better than b")


def test_two_seeds_allow_nothing() -> None:
    said = Verdict.of({"a": BAD[:2], "b": GOOD[:2]}, "mse", higher_is_better=False)
    assert said.pairs == []
    assert said.sentences[0] == "a: only 2 seeds finished; a significance test needs 3"
    (one,) = Verdict.of({"a": BAD[:1]}, "mse", higher_is_better=False).sentences
    assert one == "a: only 1 seed finished; a significance test needs 3"


def test_without_scipy_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.comparison._verdict.find_spec", lambda _: None)
    said = Verdict.of({"a": BAD, "b": GOOD}, "mse", higher_is_better=False)
    assert "elman[data]" in said.sentences[0]
