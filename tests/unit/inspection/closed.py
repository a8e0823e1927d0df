"""Networks whose derivatives are known, and the same derivatives by autograd alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elman import Recurrent
from elman.cells import GRU, LSTM, Cell, Elman, PointwiseCell


class Leaky(PointwiseCell):
    """A cell of one's own: a leaky integrator whose trace q is only read in the same step."""

    gates, states = ("z", "leak"), ("h", "q")

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        leak = torch.sigmoid(inp.leak + rec.leak)
        q = 0.5 * state.q + leak * torch.sin(inp.z + rec.z)
        return self.State(h=(1 - leak) * state.h + torch.tanh(q), q=q)


CELLS: dict[str, Callable[[int, int], Cell]] = {
    "elman": Elman,
    "lstm": LSTM,
    "gru": GRU,
    "leaky": Leaky,
}


def linear(rho: float, size: int = 6, inputs: int = 3) -> Recurrent:
    """h_t = rho Q h_{t-1} + W x_t, with Q orthogonal."""
    cell = Elman(inputs, size, activation="identity", dtype=torch.float64)
    torch.nn.init.orthogonal_(cell.weight_hh)
    with torch.no_grad():
        cell.weight_hh.mul_(rho)
    return Recurrent(cell)


def dense(layer: Recurrent, x: Tensor, t: int, k: int) -> Tensor:
    """d(all states after step t)/d(all states after step k), (row, S, S), by autograd alone."""
    state, cell = None, layer.cell
    for step in range(k + 1):
        _, state = layer.step(x[:, step], state)
    assert state is not None
    flat = torch.cat(state, -1).detach()

    def run(flat: Tensor) -> Tensor:
        state = cell.State(*flat.split(list(cell.state_sizes), -1))
        for step in range(k + 1, t + 1):
            _, state = layer.step(x[:, step], state)
        return torch.cat(state, -1)

    whole = torch.autograd.functional.jacobian(run, flat)
    rows = torch.arange(len(flat))
    return whole[rows, :, rows, :]
