"""Charts as values: what is drawn, what hovering reads, and what a download holds."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from elman.data import guarded
from elman.pictures import Picture

Cell: TypeAlias = str | float | None
Label: TypeAlias = tuple[str, ...]
"""The parts of a label: the run, the layer, the state. Empty parts are left out."""


class Axis(NamedTuple):
    """An axis; ``names`` are those of its places 0, 1, 2 ..., where it has no numbers."""

    label: str
    names: Sequence[str] = ()
    log: bool = False
    reverse: bool = False
    whole: bool = False


class PlotLine(NamedTuple):
    """A line through points; ``color`` is a place in `elman.pictures.COLORS`, None for ink.

    Points with ``bounds`` are drawn with their intervals, moved to the right by ``shift`` so that
    those of several lines lie side by side.
    """

    label: Label
    x: Sequence[float]
    y: Sequence[float | None]
    color: int | None
    dash: Any = "-"
    mark: str | None = None
    bounds: tuple[Sequence[float], Sequence[float]] | None = None
    shift: float = 0.0


class StraightLine(NamedTuple):
    """A straight line across the panel, at a value of y or, if ``vertical``, of x."""

    at: float
    label: Label = ()
    vertical: bool = False
    color: int | None = None
    dash: Any = "-"
    width: float = 0.6


class LinePanel(NamedTuple):
    """A panel of lines."""

    x: Axis
    y: Axis
    lines: Sequence[PlotLine]
    rules: Sequence[StraightLine] = ()
    from_zero: bool = False

    def rows(self) -> Iterator[dict[str, Cell]]:
        """A row for each point."""
        for line in self.lines:
            for i, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
                row: dict[str, Cell] = {"panel": self.y.label, "line": text_of(line.label)}
                row |= {self.x.label: _name(self.x, x), "value": y}
                yield row | (
                    {"low": line.bounds[0][i], "high": line.bounds[1][i]} if line.bounds else {}
                )


class MapPanel(NamedTuple):
    """A panel of colors; ``values`` are rows, NaN where there is none.

    The colors of "decades" are on a log scale and end at 1, those of a "gate" lie between its
    smallest and its largest value, and those of "signed" values are symmetric about 0.
    """

    x: Axis
    y: Axis
    values: Sequence[Sequence[float]]
    meaning: str
    scale: Literal["decades", "gate", "signed"]
    title: str = ""

    def rows(self) -> Iterator[dict[str, Cell]]:
        """A row for each cell."""
        for y, line in enumerate(self.values):
            for x, value in enumerate(line):
                row: dict[str, Cell] = {"panel": text_of((self.title, self.meaning))}
                yield row | {
                    self.y.label or "line": _name(self.y, y),
                    self.x.label: _name(self.x, x),
                    "value": value,
                }


AnyPanel: TypeAlias = LinePanel | MapPanel


class Chart(NamedTuple):
    """A figure of one panel or several, with its title and caption.

    ``of`` is the run, if it shows one of several; ``reading`` says what the values come to.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[AnyPanel]
    size: tuple[float, float]
    of: str | None = None
    reading: str = ""

    @property
    def picture(self) -> Picture:
        """The chart, to be drawn by Matplotlib."""
        from elman.reporting._plot import draw

        return Picture(self.name, partial(draw, self.panels), self.size)


def text_of(label: Label) -> str:
    """A label as text.

    >>> text_of(("run", "", "h"))
    'run, h'
    """
    return ", ".join(part for part in label if part)


def as_csv(chart: Chart) -> str:
    """The values of a chart as CSV, a row for each.

    >>> line = PlotLine(("a",), [1, 2], [0.5, None], 0)
    >>> panel = LinePanel(Axis("update"), Axis("nats"), [line])
    >>> print(as_csv(Chart("training", "Training", "", [panel], (4, 3))), end="")
    panel,line,update,value
    nats,a,1,0.5
    nats,a,2,
    """
    rows = [row for panel in chart.panels for row in panel.rows()]
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = csv.DictWriter(out, names, lineterminator="\n")
    file.writerow({name: guarded(name) for name in names})
    file.writerows({name: _safe(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def as_json(chart: Chart) -> dict[str, Any]:
    """The values of a chart as JSON, in which what is not a finite number is null."""
    panels: list[dict[str, Any]] = []
    for panel in chart.panels:
        axes: dict[str, Any] = {"x": _axis(panel.x), "y": _axis(panel.y)}
        if isinstance(panel, MapPanel):
            values = [[_finite(value) for value in row] for row in panel.values]
            panels.append({"kind": "map", **axes, "value": panel.meaning, "values": values})
            continue
        lines = [_points(line) for line in panel.lines]
        rules = [_straight(rule) for rule in panel.rules if rule.label]
        panels.append({"kind": "lines", **axes, "lines": lines, "rules": rules})
    return {"name": chart.name, "title": chart.title, "panels": panels}


def _points(line: PlotLine) -> dict[str, Any]:
    bounds = dict(zip(("low", "high"), line.bounds, strict=True)) if line.bounds else {}
    values = {"x": line.x, "y": line.y, **bounds}
    own = {name: [*map(_finite, several)] for name, several in values.items()}
    return {"label": text_of(line.label), **own}


def _straight(rule: StraightLine) -> dict[str, Any]:
    way = "vertical" if rule.vertical else "horizontal"
    return {"label": text_of(rule.label), way: _finite(rule.at)}


def _axis(axis: Axis) -> dict[str, Any]:
    return {"label": axis.label, **({"names": list(axis.names)} if axis.names else {})}


def _name(axis: Axis, place: float) -> str | float:
    return axis.names[int(place)] if axis.names else place


def _finite(value: float | None) -> float | None:
    """A number with six significant digits; None if it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _safe(value: Cell) -> Cell:
    """A value that a spreadsheet does not run as a formula; none if it is no finite number."""
    return guarded(value) if isinstance(value, str) else _finite(value)
