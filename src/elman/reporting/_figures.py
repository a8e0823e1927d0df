"""Charts of the measures of one run or several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

from elman.reporting._chart import (
    Axis,
    Chart,
    Label,
    LinePanel,
    MapPanel,
    PlotLine,
    StraightLine,
    text_of,
)
from elman.reporting._measures import Curve, LayerMeasures, Measures
from elman.reporting._names import layer_names

WIDTH = 4.8
"""Inches; at this width, labels are as large as the text of the page on a phone."""
BEFORE = "steps before the loss"
RELATIVE = "relative to the maximum"
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (1, 4)), (0, (5, 1, 1, 1, 1, 1)))
MARKS = "osD^v"


def figures(runs: Mapping[str, Measures]) -> list[Chart]:
    """The charts of one run, or of several side by side.

    >>> figures({})
    []
    """
    charts = [*_shared(runs)] if runs else []
    for number, (name, run) in enumerate(runs.items(), 1):
        end = f"-{number}" if len(runs) > 1 else ""
        of = name if len(runs) > 1 else None
        charts += [chart._replace(name=chart.name + end, of=of) for chart in _own(run)]
    return charts


def _shared(runs: Mapping[str, Measures]) -> Iterator[Chart]:
    """Charts that show all runs together."""
    rows = list(_rows(runs))
    if rows:
        yield Chart(
            "gradient",
            "The gradient through time",
            "The norm of the gradient of each row's last loss with respect to the state, by the "
            "number of steps before the loss and relative to the norm at the loss (root mean "
            "square over rows). If the line falls to the left, the gradient vanishes.",
            [_gradient(rows)],
            (WIDTH, 3.2),
            reading="Half-life of the gradient in steps, with its 95% interval: "
            + "; ".join(map(_half_life, rows))
            + ".",
        )
        yield Chart(
            "gradient-map",
            "The gradient by layer and time",
            "Color: gradient norm relative to the maximum of the row (log scale).",
            [_gradient_map(rows)],
            (WIDTH, 1.2 + 0.24 * len(rows)),
        )
    layers = list(_each(runs))
    if any(layer.jacobian for _, _, layer in layers):
        yield Chart(
            "jacobian",
            "Jacobians",
            "Top: how much a change of the first state can grow up to a step (the spectral norm of "
            "the product of all Jacobians). Bottom: the spectral radius of each step's Jacobian. "
            "Below 1 changes shrink, above 1 they grow.",
            _jacobian(layers),
            (WIDTH, 4.4),
        )
    if any(layer.lyapunov for _, _, layer in layers):
        yield Chart(
            "lyapunov",
            "Lyapunov exponents",
            "Growth rates of small changes of the state along the sequence, with 95% intervals. "
            "Near 0 the state is remembered for long; far below 0 it is soon forgotten; above 0 "
            "the layer is chaotic.",
            [_lyapunov(layers)],
            (WIDTH, 3.2),
        )


def _own(run: Measures) -> Iterator[Chart]:
    """Charts that show one run."""
    names = layer_names(run)
    pairs = [_contributions(run, *pair) for pair in zip(names, run.layers, strict=True)]
    matrices = [panel for panel in pairs if len(panel.values) > 1]
    if matrices:
        yield Chart(
            "contribution",
            "Contributions",
            "How strongly the loss at one step (row) depends on the state at another (column). "
            "Steps without a loss are left out.",
            [m._replace(title=m.title if len(matrices) > 1 else "") for m in matrices],
            (WIDTH, 0.4 + 2.4 * len(matrices)),
        )
    mapped = [(name, layer) for name, layer in zip(names, run.layers, strict=True) if layer.maps]
    if mapped:
        panels = [
            panel
            for name, layer in mapped
            for panel in _maps(name if len(mapped) > 1 else "", layer)
        ]
        words = any(layer.words for _, layer in mapped)
        groups = len({(tuple(p.x.names), len(p.values[0])) for p in panels})
        yield Chart(
            "gates",
            "Gates and states" + (", word by word" if words else ", step by step"),
            "Gates range from 0 (closed) to 1 (open); states have colors of their own. Each row is "
            f"one unit; the {len(mapped[0][1].units)} whose output changes most are shown.",
            panels,
            (WIDTH, 1.15 * len(panels) + (0.9 if words else 0.5) * groups),
        )


class _Row(NamedTuple):
    """A line: the place of its color, its label, and its norm by steps before the loss."""

    color: int
    label: Label
    curve: Curve


def _each(runs: Mapping[str, Measures]) -> Iterator[tuple[int, Label, LayerMeasures]]:
    """All layers of all runs, with the place of their color and their label.

    Several runs differ by color; for a single run its layers do.
    """
    for number, (name, run) in enumerate(runs.items()):
        for place, (own, layer) in enumerate(zip(layer_names(run), run.layers, strict=True)):
            label = (name if len(runs) > 1 else "", own if len(run.layers) > 1 else "")
            yield number if len(runs) > 1 else place, label, layer


def _rows(runs: Mapping[str, Measures]) -> Iterator[_Row]:
    """All states of all layers that a gradient reaches."""
    for color, label, layer in _each(runs):
        for state, curve in layer.gradient.items():
            if curve.fall:
                yield _Row(color, (*label, state), curve)


def _gradient(rows: Sequence[_Row]) -> LinePanel:
    dashes = _Dashes()
    lines = [
        PlotLine(
            row.label,
            range(len(row.curve.fall)),
            row.curve.fall,
            row.color,
            dashes.after(row.color),
            "o" if len(row.curve.fall) == 1 else None,
        )
        for row in rows
    ]
    x = Axis(BEFORE, reverse=True, whole=True)
    return LinePanel(x, Axis("norm, relative to the loss step", log=True), lines)


def _half_life(row: _Row) -> str:
    value, low, high = row.curve.half_life
    label = f"{text_of(row.label)} "
    if not math.isfinite(value):
        return f"{label}longer than the {len(row.curve.fall)} measured steps"
    return f"{label}{value:.3g} ({low:.3g} to {high:.3g})"


def _gradient_map(rows: Sequence[_Row]) -> MapPanel:
    steps = max(len(row.curve.fall) for row in rows)
    grid = []
    for row in rows:
        most = max(row.curve.fall)
        line = [value / most for value in row.curve.fall]
        grid.append([*line, *[math.nan] * (steps - len(line))])
    names = [text_of(row.label) for row in rows]
    x = Axis(BEFORE, reverse=True, whole=True)
    return MapPanel(x, Axis("", names), grid, RELATIVE, "decades")


def _contributions(run: Measures, name: str, layer: LayerMeasures) -> MapPanel:
    """The gradient of each loss over time, of the steps that have a loss."""
    there = [
        (step, line)
        for step, line in zip(run.loss_steps, layer.contribution, strict=False)
        if max(line) > 0
    ]
    most = max((max(line) for _, line in there), default=1.0)
    grid = [[value / most for value in line] for _, line in there]
    steps = Axis("loss at step", [str(step) for step, _ in there])
    return MapPanel(Axis("state at step"), steps, grid, RELATIVE, "decades", title=name)


def _jacobian(layers: Sequence[tuple[int, Label, LayerMeasures]]) -> list[LinePanel]:
    whole, each, dashes = [], [], _Dashes()
    for color, label, layer in layers:
        if (jacobian := layer.jacobian) is None:
            continue
        norm = [value if value > 0 else None for value in jacobian.norm]
        line = PlotLine(label, jacobian.times, norm, color, dashes.after(color))
        whole.append(line)
        each.append(line._replace(y=jacobian.step_radius))
    one = [StraightLine(1.0)]
    return [
        LinePanel(Axis("step"), Axis("norm of the product", log=True), whole, one),
        LinePanel(Axis("step"), Axis("spectral radius of one step"), each, one),
    ]


def _lyapunov(layers: Sequence[tuple[int, Label, LayerMeasures]]) -> LinePanel:
    lines = []
    for number, (color, label, layer) in enumerate(layers):
        if (exponents := layer.lyapunov) is None:
            continue
        shift = 0.12 * (number - (len(layers) - 1) / 2)
        x = range(1, len(exponents.value) + 1)
        low, high = zip(*exponents.interval, strict=True) if exponents.interval else ((), ())
        mark = MARKS[number % len(MARKS)]
        lines.append(PlotLine(label, x, exponents.value, color, "", mark, (low, high), shift))
    return LinePanel(Axis("exponent"), Axis("nats a step"), lines, [StraightLine(0.0)])


def _maps(name: str, layer: LayerMeasures) -> Iterator[MapPanel]:
    units = Axis("unit", [str(unit) for unit in layer.units])
    for meaning, steps in layer.maps.items():
        grid = [list(unit) for unit in zip(*steps, strict=True)]
        words = layer.words if len(layer.words) == len(steps) else ()
        yield MapPanel(
            Axis("step", words),
            units,
            grid,
            meaning,
            "gate" if meaning in layer.gates else "signed",
            title=name,
        )


class _Dashes:
    """The next kind of line of each color."""

    def __init__(self) -> None:
        self.rest: dict[int, Iterator[Any]] = {}

    def after(self, color: int) -> Any:
        return next(self.rest.setdefault(color, cycle(DASHES)))
