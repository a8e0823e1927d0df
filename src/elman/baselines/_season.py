"""The length of a season: by the calendar where the times have one, else by autocorrelation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

ALIKE = 0.9
"""A peak of this share of the highest counts as equally high."""

WEAK = 0.2
"""The least autocorrelation of a season that the calendar suggests."""

NEAR = 0.2
"""Lags within this share of a first guess are searched."""

ROUNDS = 5


class Season(NamedTuple):
    """The steps of a season, 1 if there is none, and the autocorrelation at that lag."""

    steps: int
    correlation: float


def find_season(series: Sequence[Reals], most: int = 400, calendar: Sequence[int] = ()) -> int:
    r"""The number of steps of a season.

    .. math:: r_k = \frac{\overline{z_t z_{t-k}}}{\overline{z_t^2}}

    First, of the series without their linear trend: the first peak that is at least nine tenths of
    the highest, since two seasons have a peak, too. A peak that is not three standard errors above
    zero, or lies beyond a third of the longest series, does not count. Slow components move that
    peak to a shorter lag, so it is measured again on the series minus their moving mean over one
    such season, until it does not move.

    Args:
        series: each (steps,), NaN where nothing was measured.
        most: the longest season to search for.
        calendar: seasons that the calendar suggests, such as 24 and 168 for hours. One that is a
            peak of its own is taken, the strongest of them first, unless a part of it is as strong.

    Returns:
        At least 2; 1 if there is no season.

    Example:
        >>> steps = np.arange(200)
        >>> find_season([0.1 * steps + np.sin(2 * np.pi * steps / 12)])
        12
        >>> draw = np.random.default_rng(0)  # a day that is small beside a slow walk
        >>> day = np.sin(2 * np.pi * np.arange(600) / 24)
        >>> find_season([day + 0.3 * draw.standard_normal(600).cumsum()], calendar=[24, 168])
        24
    """
    own = _refined(series, _first(series, most))
    longest = max((len(one) for one in series), default=0)
    suggested = [m for m in calendar if 1 < m <= min(most, longest // 3)]
    peaks = [(m, *_around(series, m)) for m in suggested]
    kept = [Season(m, r) for m, lag, r in peaks if lag == m and r >= WEAK]
    if not kept:
        return own.steps
    best = max(kept, key=lambda each: each.correlation)
    chosen = next(s for s in kept if s.correlation >= ALIKE * best.correlation)
    part = own.steps > 1 and chosen.steps % own.steps == 0
    as_strong = own.correlation >= ALIKE * chosen.correlation
    return own.steps if part and as_strong else chosen.steps


def _first(series: Sequence[Reals], most: int) -> int:
    lags = min(most, max((len(one) for one in series), default=0) // 3)
    r, counts = _autocorrelation([z for one in series for z in _without_line(one)], lags)
    inner = np.arange(2, lags)
    peaks = inner[(r[inner] > r[inner - 1]) & (r[inner] >= r[inner + 1])]
    peaks = peaks[r[peaks] > 3 / np.sqrt(np.maximum(counts[peaks], 1))]
    return int(peaks[(r[peaks] >= ALIKE * r[peaks].max()).argmax()]) if len(peaks) else 1


def _refined(series: Sequence[Reals], guess: int) -> Season:
    """The same season without what moves slowly; the guess where that settles nowhere."""
    if guess == 1:
        return Season(1, 0.0)
    first, period = Season(guess, 0.0), guess
    for _ in range(ROUNDS):
        lag, r = _around(series, period)
        if period == guess:
            first = Season(guess, r)
        if lag == period:
            return Season(lag, r)
        if not lag:
            break
        period = lag
    return first


def _around(series: Sequence[Reals], guess: int) -> tuple[int, float]:
    """The lag near a guess at which the series, less their means over a season, are most alike.

    It is the guess itself unless another is higher by more than half a standard error; 0 where they
    are too short, or nowhere more alike than chance makes them.
    """
    low, high = max(2, math.floor((1 - NEAR) * guess)), math.ceil((1 + NEAR) * guess)
    r, counts = _autocorrelation([z for one in series for z in _without_mean(one, guess)], high)
    near = np.arange(low, min(high + 1, len(r)))
    if not len(near):
        return 0, 0.0
    lag = int(near[r[near].argmax()])
    error = 1 / math.sqrt(max(1.0, counts[lag]))
    if guess in near and r[guess] >= r[lag] - error / 2:
        lag = guess
    return (lag, float(r[lag])) if r[lag] > 3 * error else (0, 0.0)


def _autocorrelation(series: Sequence[Reals], lags: int) -> tuple[Reals, Reals]:
    """Of all series together at lags 0 to ``lags``, and of how many pairs each is."""
    products, counts = np.zeros(lags + 1), np.zeros(lags + 1)
    for z in series:
        there = np.isfinite(z)
        size = 1 << (2 * len(z) - 1).bit_length()
        for total, values in ((products, np.where(there, z, 0.0)), (counts, there.astype(float))):
            spectrum = np.fft.rfft(values, size)
            some = np.fft.irfft(np.abs(spectrum) ** 2, size)[: min(lags + 1, len(z))]
            total[: len(some)] += some
    counts = np.round(counts)
    variance = products[0] / max(1.0, counts[0])
    return products / np.maximum(counts, 1) / (variance or 1.0), counts


def _without_line(one: Reals) -> Iterator[Reals]:
    """The series minus its linear trend, standardized; nothing if it is constant."""
    steps, there = np.arange(len(one), dtype=np.float64), np.isfinite(one)
    if there.sum() >= 3:
        slope, level = np.polyfit(steps[there], one[there], 1)
        yield from _in_deviations(one - slope * steps - level, one)


def _without_mean(one: Reals, width: int) -> Iterator[Reals]:
    """The series minus its moving mean over ``width`` steps; nothing if it is too short."""
    there = np.isfinite(one)
    if len(one) < 3 * width or there.sum() < 3:
        return
    weights = np.ones(width + 1 - width % 2)
    if width % 2 == 0:  # so that the window has a middle
        weights[[0, -1]] = 0.5
    half = len(weights) // 2
    sums, counts = (
        np.convolve(values, weights, "valid")
        for values in (np.where(there, one, 0.0), there.astype(float))
    )
    inner = one[half : len(one) - half]
    rest = inner - np.where(counts > 0, sums / np.maximum(counts, 0.5), np.nan)
    if np.isfinite(rest).sum() >= 3:
        yield from _in_deviations(rest - np.nanmean(rest), one)


def _in_deviations(rest: Reals, whole: Reals) -> Iterator[Reals]:
    deviation = float(np.nanstd(rest))
    if deviation > 1e-9 * max(1.0, float(np.nanmax(np.abs(whole)))):
        yield rest / deviation
