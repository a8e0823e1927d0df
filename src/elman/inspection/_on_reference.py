"""Recording on the reference: every step's states, as nodes of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elman.engine import Recurrence
from elman.inspection._recording import CellStep, LayerCall, Track
from elman.scan import Observation, scan


def run_on_reference(r: Recurrence, track: Track, *, gates: bool = False) -> LayerCall:
    """Run a recurrence by the scan.

    Args:
        r: what is run.
        track: the one that it continues.
        gates: also keep the activations.
    """
    stepper = _Stepper(r.step)
    observe = r.observe
    if gates and not isinstance(observe, Observation):
        observe = Observation()
    output, final = scan(
        stepper,
        r.projected(),
        r.cell.State(*map(_differentiable, _start(r, track))),
        active=r.active,
        reset=r.reset,
        start=r.start,
        reverse=r.reverse,
        observe=observe,
    )
    activations = {}
    if gates and isinstance(observe, Observation):
        activations = {name: each.detach() for name, each in observe.stacked(0).items()}
    # The caller's state is a node apart, so that its gradient is not that of the next call.
    alias = r.cell.State(*(s.view_as(s) for s in final))
    steps = stepper.steps[:: -1 if r.reverse else 1]
    return LayerCall.of(r, output, alias, final, activations=activations, steps=steps)


def _start(r: Recurrence, track: Track) -> Any:
    """The state as the track's own node, unless the caller cut the gradient there."""
    if not track.calls or not all(s.requires_grad for s in r.state):
        return r.state
    return track.calls[-1].carried


def _differentiable(state: Tensor) -> Tensor:
    """The state, so that every later one is in the graph, even if all weights are frozen."""
    leaf = torch.is_grad_enabled() and not state.requires_grad
    return state.detach().requires_grad_() if leaf else state


class _Stepper:
    """A cell's step that keeps each step it takes."""

    def __init__(self, step: Callable[[Any, Any], Any]) -> None:
        self._step = step
        self.steps: list[CellStep] = []

    def __call__(self, inp: Any, state: Any) -> Any:
        new = self._step(inp, state)
        # A state that a cell hands on as it is would be one node for two steps.
        new = type(new)(*(n.view_as(n) if any(n is s for s in state) else n for n in new))
        self.steps.append(CellStep(inp, state, new))
        return new
