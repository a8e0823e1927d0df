"""Measures of a recurrent network: how far back its gradient reaches, and what its states do.

They record the steps inside the scan, of any layer, model or task, and change nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.inspection._estimate import Estimate
    from elman.inspection._factors import Factors, factors
    from elman.inspection._first_bad import Bad, first_bad, first_bad_of
    from elman.inspection._flow import Flow, Norms, gradient_flow
    from elman.inspection._gates import Gate, Gates, StateUse, gates
    from elman.inspection._jacobian import Spectrum, jacobian, spectrum
    from elman.inspection._lyapunov import Lyapunov, lyapunov
    from elman.inspection._memory import MemoryCapacity, memory
    from elman.inspection._record import record, record_activations, record_loss
    from elman.inspection._recording import Recording, Track
    from elman.inspection._summary import summarize
    from elman.inspection._truncation import TruncationBias, truncation_bias

__all__ = [
    "Bad",
    "Estimate",
    "Factors",
    "Flow",
    "Gate",
    "Gates",
    "Lyapunov",
    "MemoryCapacity",
    "Norms",
    "Recording",
    "Spectrum",
    "StateUse",
    "Track",
    "TruncationBias",
    "factors",
    "first_bad",
    "first_bad_of",
    "gates",
    "gradient_flow",
    "jacobian",
    "lyapunov",
    "memory",
    "record",
    "record_activations",
    "record_loss",
    "spectrum",
    "summarize",
    "truncation_bias",
]

_HOMES = {
    "_estimate": ("Estimate",),
    "_factors": ("Factors", "factors"),
    "_first_bad": ("Bad", "first_bad", "first_bad_of"),
    "_flow": ("Flow", "Norms", "gradient_flow"),
    "_gates": ("Gate", "Gates", "StateUse", "gates"),
    "_jacobian": ("Spectrum", "jacobian", "spectrum"),
    "_lyapunov": ("Lyapunov", "lyapunov"),
    "_memory": ("MemoryCapacity", "memory"),
    "_record": ("record", "record_activations", "record_loss"),
    "_recording": ("Recording", "Track"),
    "_summary": ("summarize",),
    "_truncation": ("TruncationBias", "truncation_bias"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
