"""The benchmark harness behind ``elman bench``: elman and its peers, interleaved in one process.

A :class:`Plan` says what to measure; :func:`run` measures it and gives a :class:`Result`, whose
tables refuse to show a ratio unless the contract test of the engine passed in the same process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.bench._plan import Plan
    from elman.bench._result import Result
    from elman.bench._run import run

__all__ = ["Plan", "Result", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._{name.lower()}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
