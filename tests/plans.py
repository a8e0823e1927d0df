"""Engines for tests, made of a function."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from elman.engine import Plan, Recurrence


def engine_of(
    function: Callable[[Recurrence], tuple[Any, Any]], without: str = ""
) -> SimpleNamespace:
    """An engine that runs everything by ``function``; ``without`` is what it cannot do."""

    class FunctionPlan(Plan):
        limits = without

        def run(self) -> tuple[Any, Any]:
            return function(self.recurrence)

    return SimpleNamespace(plan=FunctionPlan)


def absent_engine(reason: str) -> SimpleNamespace:
    """An engine that runs nothing, for this reason."""
    return SimpleNamespace(plan=lambda _: reason)
