"""What a forecast has to beat: the last value, and the value a season ago."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


ALIKE = 0.9
"""A peak of so much of the highest is as good."""


def find_season(series: Sequence[Reals], most: int = 400) -> int:
    r"""How many steps a season has: the first lag whose autocorrelation is among the highest.

    .. math:: r_k = \frac{\overline{z_t z_{t-k}}}{\overline{z_t^2}}

    of the series without their straight lines. It is the first peak that is at least nine tenths of
    the highest, since two seasons have a peak, too. A peak that is not three standard errors above
    zero, or lies beyond a third of the longest series, is none.

    Args:
        series: each (steps,), NaN where nothing was measured.
        most: the longest season that is looked for.

    Returns:
        At least 2; 1 if there is no season.

    Example:
        >>> steps = np.arange(200)
        >>> find_season([0.1 * steps + np.sin(2 * np.pi * steps / 12)])
        12
    """
    lags = min(most, max((len(one) for one in series), default=0) // 3)
    products, counts, variance, total = np.zeros(lags + 1), np.zeros(lags + 1), 0.0, 0
    for one in series:
        rest = _without_line(one)
        if rest is None:
            continue
        there = np.isfinite(rest)
        z, seen = np.where(there, rest, 0.0), there.astype(float)
        for lag in range(1, min(lags, len(z) - 1) + 1):
            products[lag] += z[lag:] @ z[:-lag]
            counts[lag] += seen[lag:] @ seen[:-lag]
        variance, total = variance + float(z @ z), total + int(there.sum())
    if not variance:
        return 1
    r = products / np.maximum(counts, 1) / (variance / total)
    inner = np.arange(2, lags)
    peaks = inner[(r[inner] > r[inner - 1]) & (r[inner] >= r[inner + 1])]
    peaks = peaks[r[peaks] > 3 / np.sqrt(np.maximum(counts[peaks], 1))]
    return int(peaks[(r[peaks] >= ALIKE * r[peaks].max()).argmax()]) if len(peaks) else 1


def _without_line(one: Reals) -> Reals | None:
    """The series less its straight line, in its own deviations; None where nothing varies."""
    steps, there = np.arange(len(one), dtype=np.float64), np.isfinite(one)
    if there.sum() < 3:
        return None
    slope, level = np.polyfit(steps[there], one[there], 1)
    rest = one - slope * steps - level
    deviation = float(np.nanstd(rest))
    if deviation <= 1e-9 * max(1.0, float(np.nanmax(np.abs(one)))):
        return None
    found: Reals = rest / deviation
    return found


class SeasonalNaive:
    r"""Each value is that of one season ago.

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
        """The mean change over a season; 0 where there is none to see."""
        change = past[self.season :] - past[: -self.season]
        there = np.isfinite(change)
        return float(change[there].mean()) if there.any() else 0.0

    def forecast(self, history: Reals, steps: int, mean_change: float = 0.0) -> Reals:
        """The next steps (steps,); where no such season was measured, the last value."""
        growth = mean_change if self.drift else 0.0
        there = np.flatnonzero(np.isfinite(history))
        found = np.full(steps, history[there[-1]] if len(there) else np.nan)
        for ahead in range(min(steps, self.season)):
            same = history[len(history) + ahead - self.season :: -self.season]
            back = np.flatnonzero(np.isfinite(same))
            if len(history) + ahead >= self.season and len(back):
                later = np.arange(len(found[ahead :: self.season]))
                found[ahead :: self.season] = same[back[0]] + growth * (back[0] + 1 + later)
        return found
