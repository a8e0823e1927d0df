"""Charts drawn by Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.pictures import COLORS
from elman.reporting._chart import Axis, Chart, LinePanel, MapPanel, PlotLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

DECADES = 12
"""Largest number of orders of magnitude in a color scale."""
MOST = 18
MOST_WORDS = 60
INK = "#000000"


def draw(panels: Sequence[LinePanel | MapPanel], sheet: Sheet) -> None:
    """Draw panels below each other; the first axes of the sheet are theirs, in order."""
    shared = all(isinstance(panel, LinePanel) for panel in panels)
    every = np.atleast_1d(sheet.subplots(len(panels), sharex=shared))
    title = ""
    for axes, panel in zip(every, panels, strict=True):
        if isinstance(panel, LinePanel):
            _curves(panel, axes)
            continue
        _heat_map(panel, axes, sheet)
        if panel.title != title:  # once above the panels that share it
            axes.set_title(plain(panel.title), fontsize=9)
        title = panel.title
    for _, group in groupby(zip(every, panels, strict=True), lambda pair: _bottom(pair[1])):
        *above, (last, panel) = group
        for axes, _ in above:
            axes.tick_params(labelbottom=False)
        _steps(last, panel.x)


def _bottom(panel: LinePanel | MapPanel) -> tuple[Any, ...]:
    """Equal for panels in a row that share the axis below the last of them."""
    steps = len(panel.values[0]) if isinstance(panel, MapPanel) else 0
    return panel.x.label, tuple(panel.x.names), steps


def _curves(panel: LinePanel, axes: Axes) -> None:
    for line in panel.lines:
        label = label_of(*line.label) or None
        style: dict[str, Any] = {"color": _color(line.color), "label": label}
        if line.bounds:
            _bars(line, axes, style)
        else:
            y = [math.nan if value is None else value for value in line.y]
            axes.plot(line.x, y, linestyle=line.dash, marker=line.mark, ms=3.5, **style)
    for rule in panel.rules:
        style = {"color": _color(rule.color), "linestyle": rule.dash, "linewidth": rule.width}
        (axes.axvline if rule.vertical else axes.axhline)(
            rule.at, **style, label=label_of(*rule.label) or None
        )
    axes.set_ylabel(plain(panel.y.label))
    if panel.y.log:
        axes.set_yscale("log")
    if panel.from_zero:
        axes.set_ylim(bottom=0)
    if panel.x.reverse:
        axes.invert_xaxis()
    _legend(axes)


def _bars(line: PlotLine, axes: Axes, style: dict[str, Any]) -> None:
    """Points with intervals; those that are not finite are left out."""
    assert line.bounds is not None
    x, y, (low, high) = (
        np.array(line.x) + line.shift,
        np.array(line.y, dtype=float),
        map(np.array, line.bounds),
    )
    finite = np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
    around = np.stack([y - low, high - y])[:, finite].clip(min=0)
    axes.errorbar(x[finite], y[finite], around, fmt=line.mark or "o", ms=4, capsize=2, **style)


def _heat_map(panel: MapPanel, axes: Axes, sheet: Sheet) -> None:
    from matplotlib.colors import LogNorm

    axes.grid(visible=False)
    grid = np.array(panel.values, dtype=float)
    options: dict[str, Any] = {}
    if panel.scale == "decades":
        low = lowest(grid)
        grid = np.where(grid > 0, grid, np.nan)  # blank, such as the influence of future steps
        options = {"norm": LogNorm(10.0**low, 1)}
    else:
        options = dict(zip(("vmin", "vmax"), _range(panel, grid), strict=True))
        options |= {"cmap": "PuOr"} if panel.scale == "signed" else {}
    image = axes.imshow(grid, aspect="auto", interpolation="nearest", **options)
    if panel.x.reverse:
        axes.invert_xaxis()
    names = [label_of(name) for name in panel.y.names]
    if panel.scale != "decades":  # the rows of these are units, too many to be named
        axes.set_yticks([])
        axes.set_ylabel(label_of(panel.meaning))
        sheet.colorbar(image, ax=axes, pad=0.01, fraction=0.05)
    else:
        axes.set_yticks(range(len(names)), names, fontsize=7 if panel.y.label else None)
        axes.set_ylabel(plain(panel.y.label))
        ticks = [10.0**tick for tick in range(0, low - 1, -max(1, -low // 4))]
        bar = sheet.colorbar(image, ax=axes, pad=0.01, fraction=0.05, ticks=ticks)
        bar.minorticks_off()
        bar.set_label("relative to the maximum", fontsize=8)


def lowest(grid: NDArray[np.float64]) -> int:
    """The lowest decade of the colors of a map: as far as the values reach, but no further than 12.

    >>> lowest(np.array([1.0, 0.03, 0.0]))
    -2
    """
    decades = np.log10(grid[grid > 0])
    return max(-DECADES, min(-1, math.floor(decades.min()))) if decades.size else -1


def _range(panel: MapPanel, grid: NDArray[np.float64]) -> tuple[float, float]:
    if panel.scale == "gate":
        low, high = math.floor(10 * grid.min()) / 10, math.ceil(10 * grid.max()) / 10
        return low, max(high, low + 0.1)
    most = max(1e-9, float(np.abs(grid).max()))
    return -most, most


def _steps(axes: Axes, axis: Axis) -> None:
    """The axis below a panel."""
    from matplotlib.ticker import MaxNLocator

    if axis.names and len(axis.names) > MOST_WORDS:
        axes.set_xlabel(plain(axis.label))
    elif axis.names:
        upright = any("\n" in name for name in axis.names)
        names = [plain(name) if upright else label_of(_visible(name)) for name in axis.names]
        size = 7 if upright else 8 if len(names) <= 36 else 6
        axes.set_xticks(range(len(names)), names, rotation=0 if upright else 90, fontsize=size)
        if upright:
            axes.set_xlabel(plain(axis.label))
    else:
        axes.set_xlabel(plain(axis.label))
        if axis.whole:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _visible(word: str) -> str:
    return word if word.strip() else repr(word)


def _color(number: int | None) -> str:
    return INK if number is None else COLORS[number % len(COLORS)]


def _legend(axes: Axes) -> None:
    """A legend above the axes, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        columns = 1 if max(map(len, labels)) > 24 else 2
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=8
        )


def label_of(*parts: str) -> str:
    """A label with long parts shortened to their ends, which tell them apart.

    >>> label_of("runs of a long name", "recurrent.layers.0", "c")
    '…ns of a long name, recurrent.layers.0, c'
    """
    return plain(", ".join(p if len(p) <= MOST else f"…{p[1 - MOST :]}" for p in parts if p))


def plain(text: str) -> str:
    r"""Text that Matplotlib shows literally, without formulas and control characters.

    >>> plain("5$ or\x016$")
    '5\\$ or\\x016\\$'
    """
    safe = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return safe.replace("$", "\\$")


class PanelBox(NamedTuple):
    """Where a panel lies in the drawing, in points from its upper left, and the limits of its axes.

    ``log`` says whether y is on a log scale.
    """

    left: float
    top: float
    right: float
    bottom: float
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    log: bool


def boxes(sheet: Sheet, chart: Chart) -> list[PanelBox]:
    """Where the panels of a drawn chart lie in its SVG."""
    width, height = (72 * inches for inches in sheet.get_size_inches())
    made = []
    for axes, _ in zip(sheet.axes, chart.panels, strict=False):
        place = axes.get_position()
        left, right = (round(side * width, 2) for side in (place.x0, place.x1))
        top, bottom = (round((1 - side) * height, 2) for side in (place.y1, place.y0))
        limits = _pair(axes.get_xlim()), _pair(axes.get_ylim())
        made.append(PanelBox(left, top, right, bottom, *limits, axes.get_yscale() == "log"))
    return made


def _pair(limits: tuple[float, float]) -> tuple[float, float]:
    return float(limits[0]), float(limits[1])
