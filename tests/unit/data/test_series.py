"""Series: bad times named, gaps seen, and a division in time that never crosses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman import DataError
from elman.data import BadRows
from elman.data.series import Cut, Reading, lines
from elman.data.times import Grid

YEARS = Grid("numbers", 1.0)
NAN = float("nan")


def readings(*pairs: tuple[float, float], series: str = "a") -> list[Reading]:
    return [
        Reading(f"f.csv, line {i}", series, time, (value,))
        for i, (time, value) in enumerate(pairs, 2)
    ]


BAD_TIMES = {
    "twice": (
        (2.0, 9.0),
        "line 4, column 't': 2 of series 'a' is repeated, first at f.csv",
    ),
    "late": ((0.0, 9.0), "line 4, column 't': 0 of series 'a' comes after 2 of series 'a': sort"),
    "beside": (
        (2.5, 9.0),
        "2.5 of series 'a' is not a whole number of steps of 1 after 2",
    ),
}


@pytest.mark.parametrize("kind", BAD_TIMES)
def test_a_bad_time_is_named_or_left_out(kind: str) -> None:
    row, message = BAD_TIMES[kind]
    rows = readings((1.0, 5.0), (2.0, 6.0), row, (3.0, 7.0))
    with pytest.raises(DataError) as caught:
        lines(rows, YEARS, BadRows(), column="t")
    assert message in str(caught.value)
    assert "--on-bad-row skip" in str(caught.value)
    bad = BadRows("skip")
    (line,) = lines(rows, YEARS, bad, column="t")
    assert line.values[:, 0].tolist() == [5, 6, 7]
    assert len(bad.skipped) == 1


def test_series_may_be_mixed_and_steps_left_out() -> None:
    rows = [*readings((1.0, 5.0), (4.0, 6.0)), *readings((8.0, 1.0), (9.0, NAN), series="b")]
    a, b = lines([rows[i] for i in (0, 2, 3, 1)], YEARS, BadRows())
    assert (a.name, a.start, a.observed) == ("a", 1.0, 4)
    np.testing.assert_equal(a.values[:, 0], [5, NAN, NAN, 6])
    assert (b.name, b.start, b.observed) == ("b", 8.0, 1)
    assert b.past.tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (((1.0, 5.0), (2.0, NAN), (3.0, 6.0)), "line 3: expected a target, got none at 2 of"),
        (((1.0, 5.0), (3.0, 6.0)), "line 3: steps are left out at 3 of series 'a': fill it"),
    ],
)
def test_gaps_where_none_may_be(rows: tuple[tuple[float, float], ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        lines(readings(*rows), YEARS, BadRows("skip"), gaps=False)
    future = readings((1.0, 5.0), (2.0, NAN))
    assert lines(future, YEARS, BadRows(), gaps=False)[0].observed == 1


def test_decimal_years_do_not_drift_from_the_grid() -> None:
    rows = readings(*((round(1958 + i / 12, 2), float(i)) for i in range(300)))
    grid = Grid("numbers", 0.08)
    (line,) = lines(rows, Grid("numbers", 1 / 12), BadRows("skip"))
    assert grid.steps(0, 0.08) == 1
    assert len(line.values) < 300  # two decimals are too few
    rows = readings(*((round(1958 + i / 12, 4), float(i)) for i in range(300)))
    (line,) = lines(rows, Grid("numbers", 0.0833), BadRows())
    assert line.values[:, 0].tolist() == list(range(300))


def test_times_of_no_grid() -> None:
    rows = readings((1.0, 5.0), (2.0, 5.0), (10_000.0, 6.0))
    with pytest.raises(DataError, match=r"3 rows over 10,000 steps of 1: its times are too irreg"):
        lines(rows, YEARS, BadRows())


@given(
    st.integers(1, 6), st.integers(1, 8), st.integers(0, 9), st.integers(0, 9), st.integers(1, 4),
    st.integers(0, 60),
)  # fmt: skip
def test_no_window_crosses_from_one_part_to_another(
    horizon: int, context: int, valid: int, test: int, stride: int, past: int
) -> None:
    cut = Cut(horizon, context, horizon + valid, horizon + test, stride)
    where = {"train": (0, past - cut.valid - cut.test), "valid": (past - cut.valid - cut.test, 0)}
    where["valid"] = (where["train"][1], past - cut.test)
    where["test"] = (past - cut.test, past)
    for split, (low, high) in where.items():
        origins = list(cut.origins(past, split))
        for origin in origins:
            assert low <= origin <= high - horizon
            assert origin >= cut.least
        if origins and split != "train":
            assert origins[-1] == high - horizon
            assert set(np.diff(origins)) <= {stride}
