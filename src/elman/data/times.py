"""Times of rows: parsed, and placed on a regular grid."""

from __future__ import annotations

import calendar
import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

from elman._errors import DataError

__all__ = ["Grid", "parse_time"]

Time: TypeAlias = float | datetime

LAST_DAY = 31
"""The day of a grid that stands for the last day of each month, however long it is."""

OFF = 0.05
"""Tolerance of a time, in steps: a year with four decimals is a little off the grid."""

WHOLE = 0.01
"""Relative tolerance of a season: a year is a little longer than 52 weeks."""

_SPANS: dict[str, dict[str, float]] = {
    "seconds": {
        "a minute": 60, "an hour": 3600, "a day": 86_400, "a week": 604_800, "a year": 31_557_600,
    },
    "months": {"a year": 12},
}  # fmt: skip

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times are kept without a zone


def parse_time(value: Any) -> Time:
    """A date, with a time of day or without, or a number; a ValueError if it is neither.

    Dates are in ISO 8601, also as YYYY-MM and YYYYMMDD; those with a zone are taken to UTC.

    >>> parse_time("1958-03"), parse_time(19580329), parse_time("1700")
    (datetime.datetime(1958, 3, 1, 0, 0), datetime.datetime(1958, 3, 29, 0, 0), 1700.0)
    """
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    text = str(value).strip()
    if not isinstance(value, datetime):
        compact = len(text) == 8 and text.isdigit() and text[4:6] <= "12"
        number = math.nan if compact else _number(text)
        if math.isfinite(number):
            return number
        value = datetime.fromisoformat(text + "-01" if len(text) == 7 else text)
    time: datetime = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return time


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


class Grid(NamedTuple):
    """A regular grid of times, ``every`` units apart: numbers, seconds or months.

    ``day`` is the day of every month. A series may begin anywhere; steps count from there.

    Example:
        >>> grid = Grid.of([[parse_time(f"2020-{month:02}") for month in (1, 2, 4)]])
        >>> grid.unit, grid.every, grid.time(grid.place(parse_time("2020-12")) + 2)
        ('months', 1.0, '2021-02-01')
        >>> str(Grid.of([[parse_time(f"2020-01-{day}") for day in ("01", "08", "15")]]))
        '7 days'
    """

    unit: Literal["numbers", "seconds", "months"]
    every: float
    day: int = 1

    @classmethod
    def of(cls, series: Sequence[Sequence[Time]]) -> Grid:
        """The grid on which most steps from one time to the next lie.

        Raises:
            DataError: times never increase.
        """
        times = [time for one in series for time in one]
        if isinstance(times[0], datetime):
            dates = [time for time in times if isinstance(time, datetime)]
            day = _day_of_most(dates)
            monthly = [cls("months", 1.0, day)] if day else []
            grids = [*monthly, cls("seconds", 1.0)]
        else:
            grids = [cls("numbers", 1.0)]
        for grid in grids:
            places = [[grid.place(time) for time in one] for one in series]
            steps = Counter(
                float(f"{b - a:.9g}") for one in places for a, b in pairwise(one) if b > a
            )
            if steps:
                return grid._replace(every=steps.most_common(1)[0][0])
        raise DataError("times never increase: sort the rows by time")

    def place(self, time: Time) -> float:
        """The position of a time, in units; NaN if it is of another kind."""
        if not isinstance(time, datetime):
            return float(time) if self.unit == "numbers" else math.nan
        if self.unit == "numbers":
            return math.nan
        if self.unit == "seconds":
            return (time - _EPOCH).total_seconds()
        expected = min(self.day, calendar.monthrange(time.year, time.month)[1])
        months = time.year * 12 + time.month - 1
        return float(months) if time.day == expected else math.nan

    def time(self, place: float) -> str:
        """A position as text: a number or a date."""
        if self.unit == "numbers":
            return f"{place:.12g}"
        if self.unit == "seconds":
            moment = _EPOCH + timedelta(seconds=place)
            whole = self.every % 86_400 == 0 and moment.time() == datetime.min.time()
            return moment.date().isoformat() if whole else moment.isoformat()
        year, month = divmod(round(place), 12)
        last = calendar.monthrange(year, month + 1)[1]
        return date(year, month + 1, min(self.day, last)).isoformat()

    def steps(self, start: float, stop: float) -> int | None:
        """The number of steps between two positions; None if it is not a whole number."""
        steps = (stop - start) / self.every
        whole = math.isfinite(steps) and abs(steps - round(steps)) <= OFF
        return round(steps) if whole else None

    def seasons(self) -> dict[int, str]:
        """The number of steps of a day, a week, a year ..., where it is a whole number.

        >>> Grid("seconds", 3600.0).seasons()
        {24: 'a day', 168: 'a week', 8766: 'a year'}
        >>> Grid("months", 1.0).seasons(), Grid("numbers", 1.0).seasons()
        ({12: 'a year'}, {})
        """
        names = {}
        for name, size in _SPANS.get(self.unit, {}).items():
            steps = size / self.every
            if steps > 1.5 and abs(steps - round(steps)) <= WHOLE * steps:
                names[round(steps)] = name
        return names

    def __str__(self) -> str:
        if self.unit != "seconds":
            return f"{self.every:g}" + (" months" if self.unit == "months" else "")
        for name, size in {"days": 86_400, "hours": 3600, "minutes": 60}.items():
            if self.every % size == 0:
                return f"{self.every / size:g} {name}"
        return f"{self.every:g} seconds"


def _day_of_most(dates: Sequence[datetime]) -> int | None:
    """The day of the month that most dates have, at the same time of day, if there is one."""
    clock, _ = Counter(day.time() for day in dates).most_common(1)[0]
    if clock != datetime.min.time():
        return None
    last = sum(d.day == calendar.monthrange(d.year, d.month)[1] for d in dates)
    day, count = Counter(d.day for d in dates).most_common(1)[0]
    if 2 * max(last, count) <= len(dates):
        return None
    return LAST_DAY if last > count else day


def __dir__() -> list[str]:
    return sorted(__all__)
