"""The picture of a forecast: history, forecast, interval and truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.pictures import COLORS, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 4
"""Series that are drawn."""

Reals = NDArray[np.float64]


class Curves(NamedTuple):
    """One forecast: the steps before its origin; then true values, forecast and interval."""

    name: str
    first: str
    history: Reals
    truth: Reals
    value: Reals
    low: Reals
    high: Reals


def picture(forecasts: Sequence[Curves], interval: float) -> Picture:
    """Up to four forecasts below each other."""
    some = forecasts[:MOST]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(some), squeeze=False)[:, 0]
        for axes, one in zip(panels, some, strict=True):
            past = np.arange(-len(one.history), 0)
            ahead = np.arange(len(one.value))
            axes.plot(past, one.history, color=COLORS[6], linewidth=1, label="history")
            axes.plot(ahead, one.truth, color=COLORS[1], linewidth=1, label="truth")
            axes.plot(ahead, one.value, color=COLORS[0], label="forecast")
            label = f"{interval:.0%} interval"
            axes.fill_between(ahead, one.low, one.high, color=COLORS[0], alpha=0.2, label=label)
            axes.set(title=one.name, xlabel=f"steps from {one.first}")
        panels[0].legend(ncols=4)

    return Picture("forecast", draw, (7.2, 1.2 + 2.2 * len(some)))
