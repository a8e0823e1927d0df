"""Simple models of piano rolls."""

from __future__ import annotations

import numpy as np
import pytest

from elman.baselines import LastFrame, Marginal


def test_shares_of_a_chain_are_found_again() -> None:
    draw = np.random.default_rng(0)
    piece = np.zeros((20_000, 2), bool)
    for t in range(1, len(piece)):
        goes_on = piece[t - 1]
        piece[t] = draw.random(2) < np.where(goes_on, [0.9, 0.2], [0.1, 0.4])
    model = LastFrame([piece[:9_000], piece[9_000:]])
    found = model.probabilities(np.array([[1, 1], [0, 0]]))
    assert found == pytest.approx(np.array([[0.9, 0.2], [0.1, 0.4]]), abs=0.02)
    assert Marginal([piece]).probabilities(piece[:3]) == pytest.approx(
        np.tile([0.5, 1 / 3], (3, 1)), abs=0.03
    )


def test_what_was_never_there_is_not_impossible() -> None:
    nothing = [np.zeros((3, 1))]
    for model, p in ((Marginal(nothing), 0.5 / 4), (LastFrame(nothing), 0.5 / 3)):
        assert model.probabilities(np.zeros((1, 1))) == pytest.approx(p)
    assert LastFrame(nothing).probabilities(np.ones((1, 1))) == pytest.approx(0.5)
