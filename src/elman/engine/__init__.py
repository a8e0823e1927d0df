"""Engines: how a scan runs on this machine. ``ENGINES`` is the list of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.engine._explain import Choice, Explanation, explain, uncompiled
    from elman.engine._recurrence import Plan, Recurrence
    from elman.engine._select import check_name, choose, run, run_by, step, use_engine

ENGINES: tuple[tuple[str, str], ...] = (
    ("cudnn", "elman.engine._cudnn"),
    ("native", "elman.engine._native"),
    ("parallel", "elman.engine._parallel"),
    ("reference", "elman.engine._reference"),
)
"""Names and where to find them, in the order in which "auto" prefers them.

Each is a module with one function, ``plan(recurrence)``, which returns a :class:`Plan` to run, or
the reason why the engine cannot run it, a sentence.
"""

__all__ = [
    "ENGINES",
    "Choice",
    "Explanation",
    "Plan",
    "Recurrence",
    "check_name",
    "choose",
    "explain",
    "run",
    "run_by",
    "step",
    "uncompiled",
    "use_engine",
]

_WHERE = dict.fromkeys(("Plan", "Recurrence"), "_recurrence") | dict.fromkeys(
    ("Choice", "Explanation", "explain", "uncompiled"), "_explain"
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE.get(name, '_select')}"), name)
    globals()[name] = value  # so that this function is not called for it again
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
