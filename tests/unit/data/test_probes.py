"""Made data sets: what they say of themselves holds, and a seed makes them again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elman.data import CATALOG, _probes, records

# Scenes have tests of their own, and no more than four groups.
MADE = [(d.name, d.tasks[0]) for d in CATALOG if d.made and d.made.steps and d.name != "scenes"]


def rows(name: str, task: str, **options: Any) -> list[Any]:
    return [record.values for record in records(name, task, **options)]


@pytest.mark.parametrize(("name", "task"), MADE)
def test_a_seed_makes_them_again(name: str, task: str) -> None:
    one, same, other = (rows(name, task, rows=6, steps=7, seed=seed) for seed in (1, 1, 2))
    assert str(one) == str(same)
    assert str(one) != str(other)
    assert len(one) == 6
    columns = next(d.columns for d in CATALOG if d.name == name)
    assert all(set(row) == set(columns) for row in one)


def test_adding_marks_one_number_in_each_half() -> None:
    for row in rows("adding", "regress", rows=50, steps=9):
        series = row["series"]
        assert series.shape == (9, 2)
        assert (series[:4, 1].sum(), series[4:, 1].sum()) == (1, 1)
        assert row["target"] == pytest.approx(float((series[:, 0] * series[:, 1]).sum()), abs=1e-6)
    targets = [row["target"] for row in rows("adding", "regress", rows=4000, steps=9)]
    assert np.square(np.array(targets) - 1).mean() == pytest.approx(1 / 6, rel=0.1)


def test_copy_memory_says_its_symbols_again() -> None:
    for row in rows("copy-memory", "tag", rows=5, steps=6):
        tokens, tags = row["tokens"], row["tags"]
        assert len(tokens) == len(tags) == 26
        assert tags[-10:] == tokens[:10]
        assert tokens[15] == "go"
        assert set(tokens[10:15] + tokens[16:] + tags[:16]) == {"_"}


def test_an_echo_comes_later() -> None:
    for row in rows("delayed-echo", "tag", rows=5, steps=3):
        assert row["tags"] == ["0"] * 3 + row["tokens"][:-3]


def test_parity_counts_ones() -> None:
    found = rows("parity", "classify", rows=300, steps=5)
    assert {len(row["series"]) for row in found} == {1, 2, 3, 4, 5}
    assert all((row["series"].sum() % 2 == 1) == (row["label"] == "odd") for row in found)


def test_recall_names_other_countries_in_between() -> None:
    found = rows("recall", "classify", rows=400, steps=8)
    far = [row for row in found if row["text"].startswith("i grew up")]
    assert len(far) == 300
    for row in far:
        home = row["text"].split()[4]
        assert row["label"] == _probes.COUNTRIES[home]
    misled = [row for row in far if sum(row["text"].count(c) for c in _probes.COUNTRIES) > 1]
    assert len(misled) > 100
    assert {row["label"] for row in found} >= {"sky", "French"}


@pytest.mark.parametrize(
    ("name", "shape", "count"), [("digits", (64, 1), 1_797), ("mnist-1d", (40, 1), 5_000)]
)
def test_packaged_series(name: str, shape: tuple[int, int], count: int) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = rows(name, "classify")
    assert len(found) == count
    assert {row["series"].shape for row in found} == {shape}
    assert {row["label"] for row in found} == set("0123456789")
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    if name == "mnist-1d":
        assert sum(row["split"] == "test" for row in found) == 1_000
