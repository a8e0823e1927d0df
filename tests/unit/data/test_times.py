"""Times: dates and numbers, and the even grid that they lie on."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman import DataError
from elman.data.times import Grid, parse_time


def day(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2020-02-03", day(2020, 2, 3)),
        (" 2020-02-03T04:05:06 ", day(2020, 2, 3, 4, 5, 6)),
        ("2020-02-03 04:05", day(2020, 2, 3, 4, 5)),
        ("2020-02-03T04:05:06Z", day(2020, 2, 3, 4, 5, 6)),
        ("2020-02", day(2020, 2, 1)),
        ("20200203", day(2020, 2, 3)),
        (20200203, day(2020, 2, 3)),
        (date(2020, 2, 3), day(2020, 2, 3)),
        (datetime(2020, 2, 3, 4, tzinfo=UTC), day(2020, 2, 3, 4)),
        (datetime(2020, 2, 3, 4, tzinfo=timezone(timedelta(hours=1))), day(2020, 2, 3, 3)),
        ("1700", 1700.0),
        (12, 12.0),
        ("-0.5", -0.5),
        ("1600000000", 1.6e9),
    ],
)
def test_dates_and_numbers(value: object, time: object) -> None:
    assert parse_time(value) == time


@pytest.mark.parametrize("value", ["", None, "soon", "nan", "inf", "2020-13-01", "20201301"])
def test_what_is_neither(value: object) -> None:
    if value == "20201301":  # no date, so a number
        assert parse_time(value) == 20201301.0
        return
    with pytest.raises(ValueError, match=r"Invalid isoformat|month must be"):
        parse_time(value)


@pytest.mark.parametrize(
    ("times", "name", "after"),
    [
        (["1", "2", "3"], "1", "4"),
        (["10", "12.5", "15"], "2.5", "17.5"),
        (["2020-01-01", "2020-01-02", "2020-01-04", "2020-01-05"], "1 days", "2020-01-06"),
        (["2020-01-31", "2020-02-29", "2020-03-31"], "1 months", "2020-04-30"),
        (["2020-01-15", "2020-02-15", "2020-03-15"], "1 months", "2020-04-15"),
        (["2020-01", "2020-04", "2020-07", "2021-01"], "3 months", "2021-04-01"),
        (["2018-12-31", "2019-12-31", "2020-12-31"], "12 months", "2021-12-31"),
        (["2020-12-31T22:00", "2020-12-31T23:00"], "1 hours", "2021-01-01T00:00:00"),
        (["2020-01-01T00:00:00", "2020-01-01T00:00:01"], "1 seconds", "2020-01-01T00:00:02"),
    ],
)
def test_the_grid_is_found_and_goes_on(times: list[str], name: str, after: str) -> None:
    parsed = [parse_time(time) for time in times]
    grid = Grid.of([parsed])
    assert str(grid) == name
    assert grid.time(grid.place(parsed[-1]) + grid.every) == after
    assert [grid.place(parse_time(grid.time(grid.place(t)))) for t in parsed] == [
        grid.place(t) for t in parsed
    ]


def test_the_commonest_step_wins_and_a_stray_date_lies_beside_the_months() -> None:
    months = [parse_time(f"2020-{month:02}-01") for month in range(1, 9)]
    grid = Grid.of([[*months, parse_time("2020-09-17")]])
    assert grid == Grid("months", 1.0, 1)
    assert math.isnan(grid.place(parse_time("2020-09-17")))
    assert math.isnan(grid.place(3.0))
    assert math.isnan(Grid("numbers", 1.0).place(months[0]))


def test_times_that_never_go_up() -> None:
    with pytest.raises(DataError, match="sort the rows by time"):
        Grid.of([[3.0, 2.0, 1.0], [1.0]])


@given(st.integers(-500, 500), st.integers(1, 40), st.floats(-1e3, 1e3))
def test_whole_numbers_of_steps(steps: int, every: int, start: float) -> None:
    grid = Grid("numbers", every / 4)
    assert grid.steps(start, start + steps * every / 4) == steps
    assert grid.steps(start, start + (steps + 0.4) * every / 4) is None
