"""One small layer of every kind, a user's own cell among them, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import elman
from elman.cells import GRU, LSTM, Elman, PointwiseCell, Projected


class Leaky(PointwiseCell):
    """A user's cell: two states, an operation that no built-in has, a parameter of its own."""

    gates, states = ("z", "leak"), ("h", "slow")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, dtype=torch.float64)
        self.peephole = nn.Parameter(torch.linspace(0.5, 1.5, hidden_size, dtype=torch.float64))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        leak = torch.sigmoid(inp.leak + rec.leak + self.peephole * state.slow)
        slow = (1 - leak) * state.slow + leak * torch.sin(inp.z + rec.z)
        self.watch(leak=leak)
        return self.State(h=torch.nn.functional.softplus(slow), slow=slow)


OPTIONS: dict[str, Any] = {"batch_first": True, "dtype": torch.float64}
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "RNN": lambda: elman.RNN(2, 3, 2, nonlinearity="tanh", **OPTIONS),
    "LSTM": lambda: elman.LSTM(2, 3, 2, bidirectional=True, proj_size=2, **OPTIONS),
    "GRU": lambda: elman.GRU(2, 3, bidirectional=True, bias=False, **OPTIONS),
    "PReLU": lambda: elman.RNN(2, 3, nonlinearity=nn.PReLU(3), **OPTIONS).double(),
    "Recurrent": lambda: elman.Recurrent(Leaky(2, 3), learn_initial_state=True),
    "reversed": lambda: elman.Recurrent(Leaky(2, 3), reverse=True),
    "Stack": lambda: elman.Stack(
        elman.Bidirectional(Leaky(2, 2), Elman(2, 1, dtype=torch.float64)),
        elman.Residual(elman.Recurrent(GRU(3, 3, dtype=torch.float64))),
        elman.Recurrent(Projected(LSTM(3, 4, dtype=torch.float64), 2)),
    ),
}
LENGTHS = torch.tensor([3, 2, 0])
RESET = torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 0]]).bool()


def sequences() -> Tensor:
    """Three rows of three steps, which LENGTHS and RESET fit."""
    return torch.randn(3, 3, 2, dtype=torch.float64)


def results(returned: Any) -> tuple[Tensor, ...]:
    """The output and every state, as one flat tuple."""
    return tuple(pytree.tree_leaves(returned))
