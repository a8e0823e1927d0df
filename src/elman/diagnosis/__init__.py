"""The doctor: problems of a run, the measurements that show them, and remedies.

`diagnose` measures a run and returns findings; `try_remedies` trains with their remedies. The names
are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.diagnosis._evidence import (
        Evidence as Evidence,
        GradientReach as GradientReach,
        LossCurve as LossCurve,
        Saturation as Saturation,
        Standing as Standing,
    )
    from elman.diagnosis._examine import (
        Examination as Examination,
        Measurement as Measurement,
        diagnose as diagnose,
    )
    from elman.diagnosis._finding import Finding as Finding, Remedy as Remedy
    from elman.diagnosis._rules import CODES as CODES
    from elman.diagnosis._try import Trial as Trial, try_remedies as try_remedies

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_evidence": "Evidence GradientReach LossCurve Saturation Standing",
        "_examine": "Examination Measurement diagnose",
        "_finding": "Finding Remedy",
        "_rules": "CODES",
        "_try": "Trial try_remedies",
    },
)
