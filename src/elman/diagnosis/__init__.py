"""The doctor: problems of a run, the measurements that show them, and remedies.

`diagnose` measures a run and returns findings; `try_remedies` trains with their remedies. The names
are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.diagnosis._evidence import Evidence, GradientReach, LossCurve, Saturation, Standing
    from elman.diagnosis._examine import Examination, Measurement, diagnose
    from elman.diagnosis._finding import Finding, Remedy
    from elman.diagnosis._rules import CODES
    from elman.diagnosis._try import Trial, try_remedies

__all__ = [
    "CODES",
    "Evidence",
    "Examination",
    "Finding",
    "GradientReach",
    "LossCurve",
    "Measurement",
    "Remedy",
    "Saturation",
    "Standing",
    "Trial",
    "diagnose",
    "try_remedies",
]

_HOMES = {
    "_examine": ("Examination", "Measurement", "diagnose"),
    "_finding": ("Finding", "Remedy"),
    "_evidence": ("LossCurve", "Evidence", "GradientReach", "Standing", "Saturation"),
    "_rules": ("CODES",),
    "_try": ("Trial", "try_remedies"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
