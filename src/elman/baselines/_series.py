"""Naive forecasts: the last value, and the value one season ago."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


class SeasonalNaive:
    r"""The seasonal naive forecast: the value one season ago.

    .. math:: \hat z_{t+k} = z_{t + k - m \lceil k / m \rceil} + \lceil k / m \rceil\, d

    Where that was not measured, it is the one a season before it. With ``drift`` d is the mean
    change over a season, :math:`\overline{z_t - z_{t-m}}`, of the series that `fit` saw; else 0.

    Args:
        season: m; 1 makes it the naive forecast of the last value.
        drift: whether the mean growth goes on.

    Example:
        >>> SeasonalNaive(2).forecast(np.array([1.0, 2.0, 3.0, 4.0]), 3)
        array([3., 4., 3.])
        >>> history = np.array([1.0, 2.0, 3.0, np.nan])
        >>> SeasonalNaive(2, drift=True).forecast(history, 3, mean_change=1.0)
        array([4., 4., 5.])

    References:
        Hyndman & Athanasopoulos 2021, "Forecasting: principles and practice", 5.2.
    """

    def __init__(self, season: int, *, drift: bool = False) -> None:
        self.season, self.drift = season, drift

    def mean_change(self, past: Reals) -> float:
        """The mean change over a season; 0 if the series is too short."""
        change = past[self.season :] - past[: -self.season]
        there = np.isfinite(change)
        return float(change[there].mean()) if there.any() else 0.0

    def forecast(self, history: Reals, steps: int, mean_change: float = 0.0) -> Reals:
        """The next steps (steps,); where no such season was measured, the last value."""
        growth = mean_change if self.drift else 0.0
        there = np.flatnonzero(np.isfinite(history))
        forecast = np.full(steps, history[there[-1]] if len(there) else np.nan)
        for ahead in range(min(steps, self.season)):
            same = history[len(history) + ahead - self.season :: -self.season]
            back = np.flatnonzero(np.isfinite(same))
            if len(history) + ahead >= self.season and len(back):
                later = np.arange(len(forecast[ahead :: self.season]))
                forecast[ahead :: self.season] = same[back[0]] + growth * (back[0] + 1 + later)
        return forecast
