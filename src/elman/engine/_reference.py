"""The reference: the scan itself, differentiable any number of times, on any device."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from elman.engine._recurrence import Recurrence
from elman.scan import scan


def why_not(_: Recurrence) -> str | None:
    """Why this engine cannot run; the reference always can."""
    return None


def run(r: Recurrence) -> tuple[Tensor, Any]:
    """Outputs (time, batch, size) and the final state."""
    active = r.active
    # Zeros at padding, so that not even a NaN there reaches a weight's gradient.
    x = r.x if active is None else r.x.masked_fill(~active[..., None], 0)
    return scan(
        r.step,
        r.project(x),
        r.state,
        active=active,
        reset=r.reset,
        start=r.start,
        reverse=r.reverse,
        observe=r.observe,
    )
