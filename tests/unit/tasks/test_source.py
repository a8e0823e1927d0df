"""Dividing rows: strata, seeds, sets that are divided already."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.tasks._source import Shares, divide


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_each_row_is_in_one_part(strata: list[str], seed: int) -> None:
    parts = divide(strata, Shares(0.2, 0.3), seed)
    assert sorted(row for rows in parts.values() for row in rows) == list(range(len(strata)))
    assert {strata[i] for i in parts["train"]} == set(strata)  # none is only tested


@pytest.mark.parametrize("seed", range(3))
def test_strata_keep_their_proportions(seed: int) -> None:
    strata = ["rare"] * 20 + ["common"] * 180
    parts = divide(strata, Shares(0.1, 0.2), seed)
    rare = {split: sum(strata[i] == "rare" for i in rows) for split, rows in parts.items()}
    assert rare == {"train": 14, "valid": 2, "test": 4}
    assert {split: len(rows) for split, rows in parts.items()} == {
        "train": 140, "valid": 20, "test": 40,
    }  # fmt: skip


def test_the_seed_decides() -> None:
    one, same, other = (divide(["a"] * 50, Shares(0.1, 0.1), seed) for seed in (1, 1, 2))
    assert one == same
    assert one["test"] != other["test"]
