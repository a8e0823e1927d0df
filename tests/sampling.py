"""How much of a generated suite runs: all of it in a full run, else a sample that a seed draws.

A failure of a sample is repeated by the seed that pytest prints in its first lines:
``ELMAN_SAMPLE_SEED=20260731 scripts/test -- tests/fuzz``.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from elman.cells import CELLS

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def is_full() -> bool:
    """Whether all of everything runs: ELMAN_FULL=1, as under ``scripts/test --full``."""
    value = os.environ.get("ELMAN_FULL", "")
    if value not in ("", "0", "1"):
        raise ValueError(f"expected ELMAN_FULL as 1 or 0, got {value!r}")
    return value == "1"


def seed() -> int:
    """ELMAN_SAMPLE_SEED; without it today's date, so that each day draws other cases."""
    value = os.environ.get("ELMAN_SAMPLE_SEED") or f"{datetime.now(UTC):%Y%m%d}"
    if not value.isdecimal():
        raise ValueError(f"expected ELMAN_SAMPLE_SEED as a whole number, got {value!r}")
    return int(value)


def cases(everything: Sequence[T], quick: int) -> list[T]:
    """All in a full run, else ``quick`` of them that the seed draws, in their own order."""
    if is_full() or quick >= len(everything):
        return list(everything)
    places = random.Random(seed()).sample(range(len(everything)), quick)
    return [everything[place] for place in sorted(places)]


CASES = 2
"""How many cases of one test a quick run takes."""

SLOW = 10
"""How many of the tests that are marked slow it takes."""


def of_each_test(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """At most `CASES` of a test, or all where it is marked every; `SLOW` of those marked slow."""
    tests: dict[str, list[pytest.Item]] = {}
    slow: list[pytest.Item] = []
    for item in items:
        if item.get_closest_marker("slow") is not None:
            slow.append(item)
            continue
        every = item.get_closest_marker("every") is not None
        tests.setdefault(item.nodeid if every else item.nodeid.partition("[")[0], []).append(item)
    kept = {item for same in tests.values() for item in cases(same, CASES)}
    return kept.union(cases(slow, SLOW))


ALWAYS = ("elman", "lstm", "gru")
"""The cells that are never left out."""


def cells(quick: int = 3) -> list[str]:
    """Names of built-in cells: `ALWAYS`, and of the others as many as the seed draws, or all."""
    return [*ALWAYS, *cases([name for name, _ in CELLS if name not in ALWAYS], quick)]


def count(full: int, quick: int) -> int:
    """How many cases a suite that draws its own should draw."""
    return full if is_full() else quick


def record(suite: str, counts: Mapping[str, Any]) -> None:
    """Keeps what a generated suite counted, in the folder that ``scripts/test --full`` names.

    Files of this project are named from its root: where a clone lies is nobody's affair.
    """
    folder = os.environ.get("ELMAN_RESULTS")
    if folder:
        file = Path(folder) / f"suite-{re.sub(r'[^a-z0-9]+', '-', suite.lower())}.json"
        unfinished = file.with_suffix(".tmp")
        facts = {
            "suite": suite,
            "commit": os.environ.get("ELMAN_COMMIT", ""),
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "seed": seed(),
        }
        text = json.dumps({**facts, **counts}, indent=1).replace(f"{ROOT}/", "")
        unfinished.write_text(text + "\n", encoding="utf-8")
        unfinished.replace(file)
