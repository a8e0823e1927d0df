"""Measures of a recurrent network: how far back its gradient reaches, and what its states do.

They record the steps inside the scan, of any layer, model or task, and change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.inspection._estimate import Estimate as Estimate
    from elman.inspection._factors import Factors as Factors, factors as factors
    from elman.inspection._first_bad import (
        Bad as Bad,
        first_bad as first_bad,
        first_bad_of as first_bad_of,
    )
    from elman.inspection._flow import Flow as Flow, Norms as Norms, gradient_flow as gradient_flow
    from elman.inspection._gates import (
        Gate as Gate,
        Gates as Gates,
        StateUse as StateUse,
        gates as gates,
    )
    from elman.inspection._jacobian import (
        Spectrum as Spectrum,
        jacobian as jacobian,
        spectrum as spectrum,
    )
    from elman.inspection._lyapunov import Lyapunov as Lyapunov, lyapunov as lyapunov
    from elman.inspection._memory import MemoryCapacity as MemoryCapacity, memory as memory
    from elman.inspection._record import (
        record as record,
        record_activations as record_activations,
        record_loss as record_loss,
    )
    from elman.inspection._recording import Recording as Recording, Track as Track
    from elman.inspection._summary import summarize as summarize
    from elman.inspection._truncation import (
        TruncationBias as TruncationBias,
        truncation_bias as truncation_bias,
    )

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_estimate": "Estimate",
        "_factors": "Factors factors",
        "_first_bad": "Bad first_bad first_bad_of",
        "_flow": "Flow Norms gradient_flow",
        "_gates": "Gate Gates StateUse gates",
        "_jacobian": "Spectrum jacobian spectrum",
        "_lyapunov": "Lyapunov lyapunov",
        "_memory": "MemoryCapacity memory",
        "_record": "record record_activations record_loss",
        "_recording": "Recording Track",
        "_summary": "summarize",
        "_truncation": "TruncationBias truncation_bias",
    },
)
