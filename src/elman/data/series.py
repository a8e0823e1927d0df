"""Series in time: rows become steps on an even grid, and steps become windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman._errors import DataError
from elman.data._table import BadRows, BadValue
from elman.data.times import Grid, Time

__all__ = ["Cut", "Line", "Reading", "lines"]

Reals = NDArray[np.float64]

MOST_GAPS = 20
"""The most steps of a series for each of its rows; with more, its times form no regular grid."""


class Reading(NamedTuple):
    """One row: its place, its series, its time and its values; NaN where nothing was measured."""

    place: str
    series: str
    time: Time
    values: tuple[float, ...]


class Line(NamedTuple):
    """A series on a grid: the place of its first step, and its values (steps, columns).

    Column 0 is what is forecast; the others are for the task to tell apart. The steps up to
    ``observed`` are the past: after them no target was measured.
    """

    name: str
    start: float
    values: Reals
    observed: int

    @property
    def past(self) -> Reals:
        """The measured targets."""
        past: Reals = self.values[: self.observed, 0]
        return past


def lines(
    readings: Iterable[Reading],
    grid: Grid,
    bad: BadRows,
    *,
    column: str = "time",
    gaps: bool = True,
) -> list[Line]:
    """Each series' rows on the grid; steps that no row has are NaN.

    A row whose time is repeated, out of order or off the grid is a bad row.

    Args:
        readings: rows of any series, each series in its order of time.
        grid: what they lie on.
        bad: what to do with bad rows.
        column: the name of the time's column, for messages.
        gaps: whether steps may be missing, and targets before the last one NaN.

    Raises:
        DataError: a bad row, a gap that is not allowed, or too many gaps for a regular grid.

    Example:
        >>> rows = [Reading("", "a", 1.0, (5.0,)), Reading("", "a", 3.0, (6.0,))]
        >>> lines(rows, Grid("numbers", 1.0), BadRows())[0].values[:, 0]
        array([ 5., nan,  6.])
    """
    kept: dict[str, list[tuple[int, float, Reading]]] = {}
    for reading in readings:
        with bad.place(reading.place):
            before = kept.get(reading.series, [])
            step = _step(reading, grid, before, column)
            kept.setdefault(reading.series, []).append((step, grid.place(reading.time), reading))
    series = [_line(name, rows, grid) for name, rows in kept.items()]
    if not gaps:
        for line, rows in zip(series, kept.values(), strict=True):
            _refuse_gaps(line, rows)
    return series


def _step(
    reading: Reading, grid: Grid, before: Sequence[tuple[int, float, Reading]], column: str
) -> int:
    """The step of a row in its series; counted from the row before, so that rounding never adds."""
    place = grid.place(reading.time)
    if not before:
        if np.isnan(place):
            raise BadValue(column, f"{_of(reading)} is not on the grid of {grid}")
        return 0
    last, last_place, last_reading = before[-1]
    steps = grid.steps(last_place, place)
    if steps is None:
        raise BadValue(
            column,
            f"{_of(reading)} is not a whole number of steps of {grid} after {_of(last_reading)}",
        )
    if steps == 0:
        raise BadValue(column, f"{_of(reading)} is repeated, first at {last_reading.place}")
    if steps < 0:
        raise BadValue(column, f"{_of(reading)} comes after {_of(last_reading)}: sort the rows")
    return last + steps


def _of(reading: Reading) -> str:
    time = reading.time if not isinstance(reading.time, float) else f"{reading.time:.12g}"
    return f"{time} of series {reading.series!r}"


def _line(name: str, rows: Sequence[tuple[int, float, Reading]], grid: Grid) -> Line:
    steps = [step for step, _, _ in rows]
    count = steps[-1] + 1
    if count > MOST_GAPS * (len(rows) + 5):
        place = f"{first}: " if (first := rows[0][2].place) else ""
        raise DataError(
            f"{place}series {name!r} has {len(rows)} rows over {count:,} steps of {grid}: its "
            "times are too irregular; give one row for each step, with an empty value where there "
            "is none"
        )
    values = np.full((count, len(rows[0][2].values)), np.nan)
    values[steps] = [reading.values for _, _, reading in rows]
    measured = np.flatnonzero(np.isfinite(values[:, 0]))
    return Line(name, rows[0][1], values, int(measured[-1]) + 1 if len(measured) else 0)


def _refuse_gaps(line: Line, rows: Sequence[tuple[int, float, Reading]]) -> None:
    """Name the first row without a target, or after left-out steps, of the past."""
    for expected, (step, _, reading) in enumerate(rows):
        if step != expected or (step < line.observed and np.isnan(reading.values[0])):
            what = "expected a target, got none" if step == expected else "steps are left out"
            raise DataError(
                f"{reading.place}: {what} at {_of(reading)}: fill it, or allow it with data.missing"
            )


class Cut(NamedTuple):
    """How series are divided in time: the last ``test`` steps, the ``valid`` before, the rest.

    A window is ``horizon`` steps to forecast after at most ``context`` steps to read, and belongs
    to the part in which all of the former lie. Windows of held-out parts are ``stride`` apart.
    """

    horizon: int
    context: int
    valid: int
    test: int
    stride: int = 1

    @property
    def least(self) -> int:
        """Steps that there must be to read."""
        return min(self.context, self.horizon)

    def origins(self, past: int, split: str) -> Iterator[int]:
        """The first steps to forecast of a split's windows, in a series of ``past`` steps.

        >>> cut = Cut(horizon=2, context=3, valid=2, test=4)
        >>> [list(cut.origins(12, split)) for split in ("train", "valid", "test")]
        [[2, 3, 4], [6], [8, 9, 10]]
        """
        if split == "train":
            yield from range(self.least, past - self.test - self.valid - self.horizon + 1)
            return
        end = past - (self.test if split == "valid" else 0)
        held = self.test if split == "test" else self.valid
        last = end - self.horizon
        origins = range(last, max(self.least, end - held) - 1, -self.stride)
        yield from reversed(origins)


def __dir__() -> list[str]:
    return sorted(__all__)
