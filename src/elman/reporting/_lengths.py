"""A chart of the quality of several runs by the length of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from elman.reporting._chart import Axis, Chart, LinePanel, PlotLine
from elman.reporting._figures import WIDTH
from elman.reporting._measures import Measures, ReportTable

NAME = "by-length"

Rows = Sequence[Sequence[Any]]


class _Axes(NamedTuple):
    """Axes of a chart; only runs with equal axes can be compared."""

    task: str
    title: str
    lengths: str
    measure: str
    groups: tuple[tuple[str, int], ...]


def lengths(runs: Mapping[str, Measures]) -> Iterator[Chart]:
    """A chart for each group of runs that were evaluated on the same rows, if it has several.

    >>> list(lengths({}))
    []
    """
    groups: dict[_Axes, dict[str, Rows]] = {}
    for name, run in runs.items():
        for table in run.tables:
            if table.by_length:
                groups.setdefault(_axes(run.task, table), {})[name] = table.rows
    shared = {axes: lines for axes, lines in groups.items() if len(lines) > 1}
    for number, (axes, lines) in enumerate(shared.items(), 1):
        end = f"-{number}" if len(shared) > 1 else ""
        yield Chart(
            f"{NAME}{end}",
            f"{axes.measure} {axes.title}".replace("_", " ").capitalize(),
            "Rows grouped by length; below each group its number of rows. All runs are evaluated "
            "on the same rows.",
            [_curves(axes, lines, list(runs))],
            (WIDTH, 3.2),
        )


def _axes(task: str, table: ReportTable) -> _Axes:
    groups = tuple((str(row[0]), int(row[1] or 0)) for row in table.rows)
    title = table.title.partition(";")[0]
    return _Axes(task, title, table.columns[0], table.columns[2], groups)


def _curves(axes: _Axes, lines: Mapping[str, Rows], runs: list[str]) -> LinePanel:
    groups = [f"{group}\n{count:,}" for group, count in axes.groups]
    places = range(len(groups))
    drawn = [
        PlotLine((name,), places, [row[2] for row in rows], runs.index(name), mark="o")
        for name, rows in lines.items()
    ]
    y = Axis(axes.measure.replace("_", " "))
    return LinePanel(Axis(axes.lengths, groups), y, drawn, from_zero=True)
