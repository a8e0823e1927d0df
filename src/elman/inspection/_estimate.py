"""Estimates with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

RESAMPLES = 200
ENOUGH_ROWS = 8
"""Rows from which whole rows are resampled; with fewer, blocks of steps are."""


class Estimate(NamedTuple):
    """A value and its 95 % confidence interval, by the bootstrap.

    References:
        Efron & Tibshirani 1993, "An introduction to the bootstrap";
        Künsch 1989, "The jackknife and the bootstrap for general stationary observations", for
        blocks of steps, since steps depend on each other.
    """

    value: Tensor
    low: Tensor
    high: Tensor


def blocks(steps: int, draw: torch.Generator) -> Tensor:
    """Blocks of about sqrt(steps) steps, drawn with replacement, (steps,): the end meets the start.

    >>> blocks(9, torch.Generator().manual_seed(0)).shape
    torch.Size([9])
    """
    size = max(1, round(math.sqrt(steps)))
    starts = torch.randint(steps, (-(-steps // size), 1), generator=draw)
    return ((starts + torch.arange(size)) % steps).flatten()[:steps]


def bounds(replicates: Tensor) -> tuple[Tensor, Tensor]:
    """The 2.5 and 97.5 percentiles along the first dimension."""
    low, high = torch.quantile(
        replicates, torch.tensor([0.025, 0.975], dtype=replicates.dtype), 0, interpolation="nearest"
    )
    return low, high


def of_curve(measure: Callable[[Tensor], float], relative: Tensor, tiny: float) -> list[float]:
    """A measure of a decay curve: its value, and the bounds of its interval.

    Args:
        measure: of the logarithms of the curve (lag,), 0 at lag 0.
        relative: the norm by (lag, row), 1 at lag 0; nan where a row has no such lag.
        tiny: below it the norm counts as 0, since it has underflowed.
    """
    whole = log_curve(relative, tiny)
    rows = relative.shape[1] if relative.dim() > 1 else 0
    draw = torch.Generator().manual_seed(0)
    replicates = []
    for _ in range(RESAMPLES):
        if rows >= ENOUGH_ROWS:
            some = torch.randint(rows, (rows,), generator=draw)
            replicates.append(measure(log_curve(relative[:, some], tiny)))
        elif len(whole) > 1:
            growth = whole.diff()
            drawn = growth[blocks(len(growth), draw)].cumsum(0)
            replicates.append(measure(torch.cat([whole[:1], drawn])))
    value = measure(whole)
    if not replicates:
        return [value, math.nan, math.nan]
    low, high = bounds(torch.tensor(replicates, dtype=torch.float64))
    return [value, float(low), float(high)]


def log_curve(relative: Tensor, tiny: float) -> Tensor:
    """Log of the root mean square over the rows that have a lag, cut where fewer than half do."""
    there = ~relative.isnan()
    count = there.sum(1)
    square = torch.where(there, relative, 0).square().sum(1) / count.clamp(min=1)
    curve = square.sqrt()
    usable = (count * 2 >= max(1, relative.shape[1])) & (curve > tiny)
    return curve[: int(usable.int().cumprod(0).sum())].log()


def slope(log_curve: Tensor) -> float:
    """The slope for each step of lag by least squares; nan for fewer than three lags.

    >>> slope(torch.tensor([0.0, -0.5, -1.0, -1.5]))
    -0.5
    """
    if len(log_curve) < 3:
        return math.nan
    lag = torch.arange(len(log_curve), dtype=log_curve.dtype)
    lag = lag - lag.mean()
    return float((lag * log_curve).sum() / lag.square().sum())


def first_below(log_curve: Tensor, fraction: float) -> float:
    """The first lag at which the curve is below a fraction of its start; inf if it never is.

    >>> first_below(torch.tensor([0.0, -0.5, -1.0, -1.5]), 0.5)
    2.0
    """
    below = (log_curve < math.log(fraction)).nonzero()
    return float(below[0]) if len(below) else math.inf
