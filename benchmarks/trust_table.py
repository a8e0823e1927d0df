"""The table of docs/trust.md: what the last full run of scripts/test counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "tests" / "results"


def trust(results: Path = RESULTS) -> str:
    """A row for each stage and each generated suite."""
    lines = ["| what ran | what came of it | when | commit |", "|---|---|---|---|"]
    rows = [*_rows(results, "stage", _of_stage), *_rows(results, "suite", _of_suite)]
    return "\n".join([*lines, *(rows or ["| no full run is kept | | | |"])])


def _rows(results: Path, kind: str, described: Any) -> Iterator[str]:
    for file in sorted(results.glob(f"{kind}-*.json")):
        facts = json.loads(file.read_text(encoding="utf-8"))
        name = facts["title"] if kind == "stage" else facts["suite"]
        commit, _, changes = facts["commit"].partition(" ")
        shown = f"`{commit[:7]}`{' ' * bool(changes)}{changes}"
        yield f"| {name} | {described(facts)} | {facts['date']} | {shown} |"


def _of_stage(facts: Mapping[str, Any]) -> str:
    if facts["status"] == "skipped":
        return f"skipped: {'; '.join(facts['reasons'])}"
    counts = [f"{facts[n]:,} {n}" for n in ("passed", "failed", "skipped") if facts[n]]
    return ", ".join(counts) or facts["status"]


_OF_RUN = {"suite", "commit", "date", "seed", "first", "seconds"}


def _of_suite(facts: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{_number(value):,} {name.replace('_', ' ')}"
        for name, value in facts.items()
        if name not in _OF_RUN and not isinstance(value, str)
    )


def _number(value: Any) -> float:
    """A count; of a list how many, of counts by reason all of them."""
    if isinstance(value, Mapping):
        return sum(map(_number, value.values()))
    return len(value) if isinstance(value, list) else value


TABLES = {"trust": trust}
