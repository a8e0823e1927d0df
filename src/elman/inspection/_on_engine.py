"""Recording on whichever engine runs: values, and gradients by probes."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from elman import engine as engines
from elman.cells import Cell, Weights
from elman.engine import Recurrence
from elman.inspection._recording import LayerCall, Track
from elman.scan import Observation


def run_on_engine(r: Recurrence, _: Track) -> LayerCall:
    """Run a recurrence by the engine that is chosen for it; with probes where there are gradients.

    The gradient of a probe is the total derivative by the layer's output; of any other state it is
    what comes back to it from the next step, and not through the output of its own step. Only the
    reference has that.
    """
    observation = r.observe if isinstance(r.observe, Observation) else Observation()
    observed, probes = replace(r, observe=observation), list[Tensor]()
    if torch.is_grad_enabled():
        sizes = r.cell.state_sizes
        probes = [r.x.new_zeros(*r.x.shape[:2], n).requires_grad_() for n in sizes]
        observed = _probed(observed, probes)
    with engines.run_by(None):
        output, final = engines.run(observed)
    activations = {name: each.detach() for name, each in observation.stacked(0).items()}
    return LayerCall.of(r, output, final, final, activations=activations, probes=probes)


class _Probed(Cell):
    """A cell with a probe, which is 0, added to each of its new states.

    Its gradient is that at the state which goes out and on, however the engine computes it.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell = cell
        self.states = cell.states  # type: ignore[misc]

    @property
    def State(self) -> Any:  # noqa: N802 - as the cell's own is called
        return self.cell.State

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.cell.state_sizes

    def project(self, x: Tensor) -> Any:
        probes = (x.new_zeros(*x.shape[:-1], n) for n in self.state_sizes)
        return self.cell.project(x), *probes

    def step(self, inp: Any, state: Any) -> Any:
        inp, *probes = inp
        new = self.cell.step(inp, state)
        return self.State(*(s + probe for s, probe in zip(new, probes, strict=True)))


def _probed(r: Recurrence, probes: list[Tensor]) -> Recurrence:
    projected = r.projected()
    cell = r.cell if r.weights is None else _with_weights(r.cell, r.weights)
    probed = replace(r, cell=_Probed(cell), weights=None)
    probed.projection = projected, *probes
    probed.drawn = {f"cell.{name}": t for name, t in r.drawn.items()}
    return probed


def _with_weights(cell: Any, weights: Weights) -> Any:
    """A cell that has the weights which a layer keeps for it."""
    twin = copy(cell)
    ih, hh, b_ih, b_hh, hr = weights
    own = {"weight_ih": ih, "weight_hh": hh, "bias_ih": b_ih, "bias_hh": b_hh}
    if hr is not None:  # a projected cell's are those of the cell that it wraps
        twin._modules = {"cell": _with_weights(cell.cell, weights._replace(hr=None))}
        own = {"weight_hr": hr}
    twin._parameters = {**cell._parameters, **own}
    return twin
