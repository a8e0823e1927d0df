"""The counts on the page about what is checked are those of the last full run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from benchmarks import trust_table
from docs._build.blocks import ROOT


@pytest.fixture(scope="module")
def tables() -> Any:
    return trust_table


def test_the_page_has_the_counts_of_the_results(tables: Any) -> None:
    page = Path(ROOT, "docs", "trust.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- table: trust -->\n(.*?)\n?<!-- end -->", page, re.DOTALL)
    assert block is not None
    assert block[1] == tables.trust(), "run python -m benchmarks.tables"


COMMON = {"commit": "0123456789 with changes", "date": "2026-01-02", "seed": 3, "seconds": 60}


def test_a_row_for_each_stage_and_each_suite(tables: Any, tmp_path: Path) -> None:
    stage = {"stage": "avx2", "title": "On AVX2", "status": "passed", "reasons": {}, **COMMON}
    absent = {"status": "skipped", "title": "On AVX-512", "reasons": {"no such processor": 1}}
    counts = {"passed": 12345, "failed": 0, "skipped": 2}
    suite = {
        "suite": "random configurations on avx2", "cases": 10000, "first": 7, "equal": 9000,
        "refused": {"why": 600, "else": 400}, "mismatches": [],
    }  # fmt: skip
    for name, facts in (
        ("stage-avx2", stage | counts),
        ("stage-avx512", stage | counts | absent),
        ("stage-types", stage | dict.fromkeys(counts, 0) | {"title": "Types"}),
        ("suite-random", suite | COMMON),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(facts))
    counted = "10,000 cases, 9,000 equal, 1,000 refused, 0 mismatches"
    when = "2026-01-02 | `0123456` with changes"
    assert tables.trust(tmp_path).splitlines()[2:] == [
        f"| On AVX2 | 12,345 passed, 2 skipped | {when} |",
        f"| On AVX-512 | skipped: no such processor | {when} |",
        f"| Types | passed | {when} |",
        f"| random configurations on avx2 | {counted} | {when} |",
    ]


def test_without_a_full_run_it_says_so(tables: Any, tmp_path: Path) -> None:
    assert tables.trust(tmp_path).splitlines()[2:] == ["| no full run is kept | | | |"]
