"""A figure of the quality of several runs by the length of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.pictures import COLORS, Picture
from elman.reporting._figures import WIDTH, Figure, add_legend, label_of, plain
from elman.reporting._measures import Measures, ReportTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Sheet

NAME = "by-length"

Rows = Sequence[Sequence[Any]]


class _Axes(NamedTuple):
    """Axes of a figure; only runs with equal axes can be compared."""

    task: str
    title: str
    lengths: str
    measure: str
    groups: tuple[tuple[str, int], ...]


def lengths(runs: Mapping[str, Measures]) -> Iterator[Figure]:
    """A figure for each group of runs that were evaluated on the same rows, if it has several.

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
        yield Figure(
            Picture(f"{NAME}{end}", partial(_draw, axes, lines, list(runs)), (WIDTH, 3.2)),
            f"{axes.measure} {axes.title}".replace("_", " ").capitalize(),
            "Rows grouped by length; below each group its number of rows. All runs are evaluated "
            "on the same rows.",
        )


def _axes(task: str, table: ReportTable) -> _Axes:
    groups = tuple((str(row[0]), int(row[1] or 0)) for row in table.rows)
    title = table.title.partition(";")[0]
    return _Axes(task, title, table.columns[0], table.columns[2], groups)


def _draw(axes: _Axes, lines: Mapping[str, Rows], runs: list[str], sheet: Sheet) -> None:
    drawn = sheet.subplots()
    places = range(len(axes.groups))
    for name, rows in lines.items():
        heights = [math.nan if row[2] is None else row[2] for row in rows]
        color = COLORS[runs.index(name) % len(COLORS)]
        drawn.plot(places, heights, marker="o", ms=4, color=color, label=label_of(name))
    drawn.set_xticks(places, [f"{group}\n{count:,}" for group, count in axes.groups])
    drawn.tick_params(axis="x", labelsize=7)
    drawn.set(xlabel=plain(axes.lengths), ylabel=plain(axes.measure.replace("_", " ")))
    drawn.set_ylim(bottom=0)
    add_legend(drawn)
