"""The reference: the scan itself, differentiable any number of times, on any device."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from elman.engine._recurrence import Plan, Recurrence
from elman.scan import Step, scan


class ReferencePlan(Plan):
    """The scan of the cell's own step."""

    def run(self) -> tuple[Tensor, Any]:
        return run(self.recurrence)


def plan(r: Recurrence) -> ReferencePlan:
    """The reference runs every recurrence."""
    return ReferencePlan(r)


def run(r: Recurrence, step: Step | None = None) -> tuple[Tensor, Any]:
    """Outputs (time, batch, size) and the final state; ``step`` stands in for the cell's own."""
    return scan(
        step or r.step,
        r.projected(),
        r.state,
        active=r.active,
        reset=r.reset,
        start=r.start,
        reverse=r.reverse,
        observe=r.observe,
    )
