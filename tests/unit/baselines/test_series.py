"""Simple forecasts: the last season again, and finding how long a season is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.baselines import SeasonalNaive, find_season


@pytest.mark.parametrize("season", [2, 7, 12, 52])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_a_season_is_found_through_noise_trend_and_gaps(season: int, slope: float) -> None:
    draw = np.random.default_rng(season)
    steps = np.arange(8 * season + 20)
    wave = np.sin(2 * math.pi * steps / season + 0.3) + (steps % season == 0)
    series = slope * steps + wave + 0.2 * draw.standard_normal(len(steps))
    series[draw.random(len(steps)) < 0.1] = np.nan
    assert find_season([series, 100 * series[: 4 * season]]) == season


def test_where_there_is_no_season() -> None:
    noise = np.random.default_rng(0).standard_normal(400)
    for series in (noise, noise.cumsum() * 0 + 3, np.arange(50.0), noise[:2], noise[:0]):
        assert find_season([series]) == 1
    assert find_season([]) == 1


history = st.lists(st.one_of(st.floats(-9, 9), st.just(math.nan)), min_size=1, max_size=12)


@given(history, st.integers(1, 5), st.integers(1, 9), st.floats(-1, 1))
def test_each_step_is_that_of_the_last_season_that_was_measured(
    past: list[float], season: int, ahead: int, change: float
) -> None:
    found = SeasonalNaive(season, drift=True).forecast(np.array(past), ahead, change)
    for k in range(ahead):
        at, back = len(past) + k - season, 1
        while at >= len(past) or (at >= 0 and math.isnan(past[at])):
            at, back = at - season, back + 1
        measured = [value for value in past if not math.isnan(value)]
        last = measured[-1] if measured else math.nan
        expected = past[at] + back * change if at >= 0 else last
        assert found[k] == pytest.approx(expected, nan_ok=True)


def test_the_mean_change_is_that_over_a_season() -> None:
    model = SeasonalNaive(2, drift=True)
    assert model.mean_change(np.array([1.0, 2.0, 3.0, np.nan, 7.0])) == 3.0
    assert model.mean_change(np.array([1.0])) == 0.0
    plain = SeasonalNaive(2).forecast(np.array([1.0, 2.0]), 2, 5.0)
    assert plain.tolist() == [1.0, 2.0]


def wandering(steps: int, period: float, seed: int, height: float = 3.0) -> np.ndarray:
    """A cycle beside what wanders more slowly, and much further."""
    draw = np.random.default_rng(seed)
    slow = 10 * np.convolve(draw.standard_normal(steps + 199), np.ones(200) / 14, "valid")
    cycle = height * np.sin(2 * math.pi * np.arange(steps) / period)
    return slow + cycle + 0.3 * draw.standard_normal(steps)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("period", [9, 24, 30])
def test_what_moves_slowly_does_not_shift_a_season(period: int, seed: int) -> None:
    assert find_season([wandering(3000, period, seed)]) == period


@pytest.mark.parametrize("seed", range(4))
def test_the_calendar_decides_only_where_the_series_agrees(seed: int) -> None:
    hours = [24, 168]
    assert find_season([wandering(900, 24, seed)], calendar=hours) == 24
    assert find_season([wandering(3000, 30, seed)], calendar=hours) == 30
    assert find_season([wandering(3000, 12, seed)], calendar=hours) == 12  # half a day, exactly
    noise = np.random.default_rng(seed).standard_normal(900)
    assert find_season([noise], calendar=hours) == find_season([noise])
    assert find_season([wandering(40, 24, seed)], calendar=hours) != 168  # longer than the series
