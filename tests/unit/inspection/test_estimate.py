"""Intervals: what is drawn again, and what it measures."""

from __future__ import annotations

import math

import pytest
import torch

from elman.inspection._estimate import ENOUGH_ROWS, blocks, first_below, of_curve, slope


def test_rows_are_drawn_where_there_are_enough_and_blocks_of_steps_where_not() -> None:
    lag = torch.arange(40, dtype=torch.float64)
    bent = (-0.1 * lag - 0.05 * lag.sqrt()).exp()[:, None]
    value, low, high = of_curve(slope, bent.expand(-1, ENOUGH_ROWS), 1e-300)
    assert low == pytest.approx(value, rel=1e-12)  # all rows are alike
    assert high == pytest.approx(value, rel=1e-12)
    few, low, high = of_curve(slope, bent.expand(-1, ENOUGH_ROWS - 1), 1e-300)
    assert few == pytest.approx(value, rel=1e-12)
    assert low < value < high
    rates = torch.linspace(-0.2, -0.1, ENOUGH_ROWS, dtype=torch.float64)
    value, low, high = of_curve(slope, (rates * lag[:, None]).exp(), 1e-300)
    assert -0.2 < low < value < high < -0.1


def test_a_curve_ends_where_it_underflows_or_most_rows_end() -> None:
    lag = torch.arange(40, dtype=torch.float64)[:, None]
    falls = (-0.5 * lag).exp().repeat(1, 9)
    falls[20:] = 0
    assert of_curve(slope, falls, 1e-300)[0] == pytest.approx(-0.5)
    falls[10:, :5] = math.nan
    falls[10:, 5:] = 1
    assert of_curve(slope, falls, 1e-300)[0] == pytest.approx(-0.5)
    assert of_curve(lambda curve: first_below(curve, 0.01), falls, 1e-300)[0] == math.inf
    assert of_curve(slope, torch.full((5, 3), math.nan), 1e-300)[0] != 0  # nan


def test_blocks_are_runs_of_steps() -> None:
    drawn = blocks(100, torch.Generator().manual_seed(0))
    assert drawn.shape == (100,)
    assert all((run.diff() % 100 == 1).all() for run in drawn.split(10))
