"""The doctor's page has the figures of its results, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import doctor_table

ROOT = Path(__file__).parents[3]


def test_the_table_is_that_of_the_results() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    between = page.partition("<!-- table: doctor -->\n")[2].partition("\n<!-- end -->")[0]
    assert between == doctor_table.table()


def test_the_counts_are_those_of_the_runs() -> None:
    results = json.loads(doctor_table.RESULTS.read_text(encoding="utf-8"))
    for name, row in results["faults"].items():
        for grade in {"strong", "mild"} & row.keys():
            mine = [r for r in results["runs"] if (r["fault"], r["grade"]) == (name, grade)]
            assert row[grade]["runs"] == len(mine)
            assert row[grade]["named"] == sum(r["named"] for r in mine)
            assert row[grade]["better"] == sum(r.get("better", False) for r in mine)


def test_the_seeds_of_the_figures_are_not_those_of_the_bounds() -> None:
    results = json.loads(doctor_table.RESULTS.read_text(encoding="utf-8"))
    assert not {r["seed"] for r in results["runs"]} & set(results["seeds"]["tuning"])


def test_a_count_that_cannot_be_stops_the_table() -> None:
    with pytest.raises(ValueError, match="expected at most 3"):
        doctor_table._of({"runs": 3, "named": 4}, "named")
