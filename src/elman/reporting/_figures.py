"""Figures of the measures of one run or several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.pictures import COLORS, Picture
from elman.reporting._measures import LayerMeasures, Measures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

WIDTH = 4.8
"""Inches; at this width, labels are as large as the text of the page on a phone."""
DECADES = 12
"""Largest number of orders of magnitude in a color scale."""
BEFORE = "steps before the loss"
MOST = 18
MOST_WORDS = 60
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (1, 4)), (0, (5, 1, 1, 1, 1, 1)))


class Figure(NamedTuple):
    """A picture with its title and caption; ``of`` is the run, if it shows one of several."""

    picture: Picture
    title: str
    caption: str
    of: str | None = None


def figures(runs: Mapping[str, Measures]) -> list[Figure]:
    """The figures of one run, or of several side by side.

    >>> figures({})
    []
    """
    drawings = [*_shared(runs)] if runs else []
    for number, (name, run) in enumerate(runs.items(), 1):
        end = f"-{number}" if len(runs) > 1 else ""
        of = name if len(runs) > 1 else None
        drawings += [f._replace(of=of) for f in _own(run, end)]
    return drawings


def _shared(runs: Mapping[str, Measures]) -> Iterator[Figure]:
    """Figures that show all runs together."""
    rows = list(_rows(runs))
    if rows:
        yield Figure(
            Picture("gradient", partial(_gradient, rows), (WIDTH, 3.2)),
            "The gradient through time",
            "The norm of the gradient of each row's last loss with respect to the state, by the "
            "number of steps before the loss and relative to the norm at the loss (root mean "
            "square over rows). If the line falls to the left, the gradient vanishes.",
        )
        yield Figure(
            Picture("gradient-map", partial(_gradient_map, rows), (WIDTH, 1.2 + 0.24 * len(rows))),
            "The gradient by layer and time",
            "Color: gradient norm relative to the maximum of the row (log scale).",
        )
    layers = list(_each(runs))
    if any(layer.jacobian for _, _, layer in layers):
        yield Figure(
            Picture("jacobian", partial(_jacobian, layers), (WIDTH, 4.4)),
            "Jacobians",
            "Top: how much a change of the first state can grow up to a step (the spectral norm of "
            "the product of all Jacobians). Bottom: the spectral radius of each step's Jacobian. "
            "Below 1 changes shrink, above 1 they grow.",
        )
    if any(layer.lyapunov for _, _, layer in layers):
        yield Figure(
            Picture("lyapunov", partial(_lyapunov, layers), (WIDTH, 3.2)),
            "Lyapunov exponents",
            "Growth rates of small changes of the state along the sequence, with 95% intervals. "
            "Near 0 the state is remembered for long; far below 0 it is soon forgotten; above 0 "
            "the layer is chaotic.",
        )


def _own(run: Measures, end: str) -> Iterator[Figure]:
    """Figures that show one run."""
    matrices = [_contributions(run, layer) for layer in run.layers]
    matrices = [matrix for matrix in matrices if len(matrix.steps) > 1]
    if matrices:
        yield Figure(
            Picture(f"contribution{end}", partial(_contribution, matrices), _tall(matrices, 2.4)),
            "Contributions",
            "How strongly the loss at one step (row) depends on the state at another (column). "
            "Steps without a loss are left out.",
        )
    mapped = [layer for layer in run.layers if layer.maps]
    if mapped:
        panels = sum(len(layer.maps) for layer in mapped)
        words = any(layer.words for layer in mapped)
        bottom = (0.9 if words else 0.5) * len([*_groups(mapped)])
        yield Figure(
            Picture(f"gates{end}", partial(_maps, mapped), (WIDTH, 1.15 * panels + bottom)),
            "Gates and states" + (", word by word" if words else ", step by step"),
            "Gates range from 0 (closed) to 1 (open); states have colors of their own. Each row is "
            f"one unit; the {len(mapped[0].units)} whose output changes most are shown.",
        )


class _Row(NamedTuple):
    """A line: the index of its color, its label, and the norm by steps before the loss."""

    run: int
    label: str
    fall: NDArray[np.float64]


def _each(runs: Mapping[str, Measures]) -> Iterator[tuple[int, str, LayerMeasures]]:
    """All layers of all runs, with the index of their color and their label.

    Several runs differ by color; for a single run its layers do.
    """
    for number, (name, run) in enumerate(runs.items()):
        for place, layer in enumerate(run.layers):
            several = layer.name if len(run.layers) > 1 else ""
            label = label_of(name if len(runs) > 1 else "", several)
            yield number if len(runs) > 1 else place, label, layer


def _rows(runs: Mapping[str, Measures]) -> Iterator[_Row]:
    """All states of all layers that a gradient reaches."""
    for number, label, layer in _each(runs):
        for state, curve in layer.gradient.items():
            if curve.fall:
                yield _Row(number, label_of(label, state), np.array(curve.fall))


def _gradient(rows: Sequence[_Row], sheet: Sheet) -> None:
    axes = sheet.subplots()
    dashes: dict[int, Iterator[Any]] = {}
    for row in rows:
        dash = next(dashes.setdefault(row.run, cycle(DASHES)))
        mark = "o" if len(row.fall) == 1 else None
        axes.plot(row.fall, color=_color(row.run), linestyle=dash, marker=mark, label=row.label)
    axes.set(xlabel=BEFORE, ylabel="norm, relative to the loss step", yscale="log")
    axes.invert_xaxis()
    _whole_steps(axes)
    add_legend(axes)


def _gradient_map(rows: Sequence[_Row], sheet: Sheet) -> None:
    axes = sheet.subplots()
    steps = max(len(row.fall) for row in rows)
    grid = np.full((len(rows), steps), np.nan)
    for line, row in zip(grid, rows, strict=True):
        line[: len(row.fall)] = row.fall / row.fall.max()
    image, low = _in_decades(axes, grid[:, ::-1], extent=(steps - 0.5, -0.5, len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_xlabel(BEFORE)
    _whole_steps(axes)
    _bar(sheet, image, axes, low, shrink=0.9)


class _Contributions(NamedTuple):
    """A layer's steps with a loss, and the gradient norm of each of these losses over time."""

    name: str
    steps: list[int]
    grid: NDArray[np.float64]


def _contributions(run: Measures, layer: LayerMeasures) -> _Contributions:
    grid = np.array(layer.contribution)
    kept = [number for number, line in enumerate(grid) if (line > 0).any()]
    return _Contributions(layer.name, [run.loss_steps[number] for number in kept], grid[kept])


def _contribution(layers: Sequence[_Contributions], sheet: Sheet) -> None:
    panels = np.atleast_1d(sheet.subplots(len(layers), sharex=True))
    for axes, layer in zip(panels, layers, strict=True):
        image, low = _in_decades(axes, layer.grid / layer.grid.max())
        axes.set_yticks(range(len(layer.steps)), [str(t) for t in layer.steps], fontsize=7)
        axes.set_ylabel("loss at step")
        if len(layers) > 1:
            axes.set_title(plain(layer.name), fontsize=9)
        _bar(sheet, image, axes, low)
    panels[-1].set_xlabel("state at step")


def _jacobian(layers: Sequence[tuple[int, str, LayerMeasures]], sheet: Sheet) -> None:
    whole, each = sheet.subplots(2, sharex=True)
    dashes: dict[int, Iterator[Any]] = {}
    for run, label, layer in layers:
        if (jacobian := layer.jacobian) is None:
            continue
        style = {"color": _color(run), "linestyle": next(dashes.setdefault(run, cycle(DASHES)))}
        norm = np.array(jacobian.norm)
        whole.plot(jacobian.times, np.where(norm > 0, norm, np.nan), label=label or None, **style)
        each.plot(jacobian.times, jacobian.step_radius, **style)
    whole.set(ylabel="norm of the product", yscale="log")
    each.set(xlabel="step", ylabel="spectral radius of one step")
    for axes in (whole, each):
        axes.axhline(1, color="#000000", linewidth=0.6)
    add_legend(whole)


def _lyapunov(layers: Sequence[tuple[int, str, LayerMeasures]], sheet: Sheet) -> None:
    axes = sheet.subplots()
    for number, (run, label, layer) in enumerate(layers):
        if (exponents := layer.lyapunov) is None:
            continue
        value = np.array(exponents.value)
        low, high = np.array(exponents.interval).T
        finite = np.isfinite(value) & np.isfinite(low) & np.isfinite(high)
        x = np.arange(1, len(value) + 1) + 0.12 * (number - (len(layers) - 1) / 2)
        axes.errorbar(
            x[finite],
            value[finite],
            np.stack([value - low, high - value])[:, finite].clip(min=0),
            fmt="osD^v"[number % 5],
            ms=4,
            capsize=2,
            color=_color(run),
            label=label or None,
        )
    axes.axhline(0, color="#000000", linewidth=0.6)
    axes.set(xlabel="exponent", ylabel="nats a step")
    add_legend(axes)


def _groups(layers: Sequence[LayerMeasures]) -> Iterator[list[LayerMeasures]]:
    """Consecutive layers that read the same sequence."""
    for _, group in groupby(
        layers, lambda layer: (layer.words, len(next(iter(layer.maps.values()))))
    ):
        yield list(group)


def _maps(layers: Sequence[LayerMeasures], sheet: Sheet) -> None:
    drawn = [(layer, name) for layer in layers for name in layer.maps]
    panels = np.atleast_1d(sheet.subplots(len(drawn)))
    rest = iter(panels)
    for group in _groups(layers):
        for layer in group:
            for name, axes in zip(layer.maps, rest, strict=False):
                _map(layer, name, axes, sheet)
                if len(layers) > 1 and name == next(iter(layer.maps)):
                    axes.set_title(plain(layer.name), fontsize=9)
        _steps(axes, group[0])


def _map(layer: LayerMeasures, name: str, axes: Axes, sheet: Sheet) -> None:
    grid = np.array(layer.maps[name]).T
    if name in layer.gates:
        low, high = np.floor(10 * grid.min()) / 10, np.ceil(10 * grid.max()) / 10
        image = _image(axes, grid, vmin=low, vmax=max(high, low + 0.1))
    else:
        most = max(1e-9, float(np.abs(grid).max()))
        image = _image(axes, grid, vmin=-most, vmax=most, cmap="PuOr")
    axes.set_yticks([])
    axes.set_ylabel(name)
    axes.tick_params(labelbottom=False)
    sheet.colorbar(image, ax=axes, pad=0.01, fraction=0.05)


def _steps(axes: Axes, layer: LayerMeasures) -> None:
    """Label the steps below the last map of a group."""
    axes.tick_params(labelbottom=True)
    steps = len(next(iter(layer.maps.values())))
    if 0 < len(layer.words) == steps <= MOST_WORDS:
        words = [plain(word if word.strip() else repr(word)) for word in layer.words]
        axes.set_xticks(range(steps), words, rotation=90, fontsize=8 if steps <= 36 else 6)
    else:
        axes.set_xlabel("step")


def _image(axes: Axes, grid: NDArray[np.float64], **options: Any) -> Any:
    axes.grid(visible=False)
    return axes.imshow(grid, aspect="auto", interpolation="nearest", **options)


def _whole_steps(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _in_decades(axes: Axes, grid: NDArray[np.float64], **options: Any) -> tuple[Any, int]:
    """Draw values relative to the largest on a log scale; return the image and its lowest decade.

    Zeros, such as the influence of future steps, stay blank.
    """
    decades = np.log10(grid, out=np.full_like(grid, math.nan), where=grid > 0)
    low = max(-DECADES, min(-1, math.floor(np.nanmin(decades))))
    return _image(axes, decades, vmin=low, vmax=0, **options), low


def _bar(sheet: Sheet, image: Any, axes: Axes, low: int, **options: Any) -> None:
    ticks = range(0, low - 1, -max(1, -low // 4))
    bar = sheet.colorbar(image, ax=axes, pad=0.01, fraction=0.05, ticks=ticks, **options)
    bar.set_ticklabels([f"$10^{{{tick}}}$" for tick in ticks])
    bar.set_label("relative to the maximum", fontsize=8)


def _tall(layers: Sequence[Any], each: float) -> tuple[float, float]:
    return WIDTH, 0.4 + each * len(layers)


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def add_legend(axes: Axes) -> None:
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
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text).replace("$", "\\$")
