"""Tiny cases, and rows that need no measuring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.speed._plan import Case, Shape
from benchmarks.speed._result import Row, Timing

MakeRow = Callable[..., Row]
MakeCase = Callable[..., Case]


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that measure nothing: they do not wait for caches and thread pools."""
    monkeypatch.setattr("elman.testing._timing.PAUSE", 0.0)
    monkeypatch.setattr("elman.testing._timing.BLOCK", 1e-4)


@pytest.fixture
def case() -> MakeCase:
    """Makes a case of a few numbers."""

    def make(
        cell: str = "gru", mode: str = "inference", *, training: bool = False, shape: str = ""
    ) -> Case:
        return Case(Shape.parse(shape or "3x7x4x5x2"), cell, mode, training, threads=1)

    return make


@pytest.fixture
def row() -> MakeRow:
    """Makes a row: elman takes 2 s, torch 6 s, jax 3 s, unless told otherwise."""

    def make(seconds: dict[str, float] | None = None, **changes: Any) -> Row:
        seconds = seconds or {"elman": 2.0, "torch": 6.0, "jax": 3.0}
        fields: dict[str, Any] = {
            "mode": "inference",
            "training": False,
            "shape": "S3",
            "cell": "gru",
            "threads": 2,
            "engine": "native",
            "broken": None,
            "timings": {n: Timing(blocks=[s] * 3) for n, s in seconds.items()},
            "left_out": {},
            "calls": 1,
            "floor": 0.5,
            "flops": 1e9,
        }
        return Row(**(fields | changes))

    return make
