"""The reference: the scan itself, differentiable any number of times, on any device."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from elman.engine._recurrence import Plan, Recurrence


class ReferencePlan(Plan):
    """The scan of the cell's own step."""

    def run(self) -> tuple[Tensor, Any]:
        return self.recurrence.scan()


def plan(r: Recurrence) -> ReferencePlan:
    """The reference runs every recurrence."""
    return ReferencePlan(r)
