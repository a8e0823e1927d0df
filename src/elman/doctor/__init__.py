"""The doctor: what is wrong with a run, the figure that shows it, and what helps.

`examine` measures a run and gives findings; `attempt` tries their remedies. The names are loaded
when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.doctor._examine import Examination, examine
    from elman.doctor._finding import Finding, Remedy
    from elman.doctor._measures import Course, Measures, Reach, Standing, Use
    from elman.doctor._rules import CODES
    from elman.doctor._try import Trial, attempt

__all__ = [
    "CODES",
    "Course",
    "Examination",
    "Finding",
    "Measures",
    "Reach",
    "Remedy",
    "Standing",
    "Trial",
    "Use",
    "attempt",
    "examine",
]

_HOMES = {
    "_examine": ("Examination", "examine"),
    "_finding": ("Finding", "Remedy"),
    "_measures": ("Course", "Measures", "Reach", "Standing", "Use"),
    "_rules": ("CODES",),
    "_try": ("Trial", "attempt"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
