"""Cells whose steps have matrices of their own, each in another way."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from benchmarks.speed._custom import TwoMatrices
from torch import Tensor, nn, sigmoid, tanh
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from elman.cells import Cell, PointwiseCell


class OnBothStates(Cell):
    """A matrix on each of two states, and one on both of them side by side."""

    states = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_x = nn.Linear(input_size, 3 * hidden_size)
        self.of_h = nn.Parameter(torch.randn(2 * hidden_size, hidden_size) / hidden_size**0.5)
        self.of_c = nn.Parameter(torch.randn(hidden_size, 2 * hidden_size) / hidden_size**0.5)
        self.of_both = nn.Parameter(torch.randn(hidden_size, 2 * hidden_size) / hidden_size**0.5)

    def project(self, x: Tensor) -> Tensor:
        return self.of_x(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        f, o, g = inp.chunk(3, -1)
        hf, ho = F.linear(state.h, self.of_h).chunk(2, -1)
        cf, co = (state.c @ self.of_c).chunk(2, -1)
        f, o = sigmoid(f + hf + cf), sigmoid(o + ho + co)
        c = f * state.c + (1 - f) * tanh(
            g + F.linear(torch.cat([state.h, state.c], -1), self.of_both)
        )
        return self.State(h=o * tanh(c), c=c)


class Masked(NamedTuple):
    """What :class:`Zoneout` projects."""

    gates: Tensor
    dropped: Tensor
    kept: Tensor


class Zoneout(Cell):
    """An LSTM with one dropout mask on h for all steps, and zoneout of both states.

    Y. Gal and Z. Ghahramani, NeurIPS 2016; D. Krueger et al., ICLR 2017.
    """

    states = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_x = nn.Linear(input_size, 4 * hidden_size)
        self.of_h = nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def project(self, x: Tensor) -> Masked:
        gates, size = self.of_x(x), self.hidden_size
        one = gates if x.dim() == 2 else gates[0]
        dropped = torch.ones_like(one[:, :size])
        kept = torch.zeros(*gates.shape[:-1], 2 * size, dtype=torch.bool, device=x.device)
        if self.training:
            dropped = F.dropout(dropped, 0.4)
            kept = torch.rand(kept.shape, device=x.device) < 0.3
        return Masked(gates, dropped.expand(*x.shape[:-1], -1), kept)

    def step(self, inp: Masked, state: Any) -> Any:
        i, f, g, o = (inp.gates + self.of_h(inp.dropped * state.h)).chunk(4, -1)
        keep_h, keep_c = inp.kept.chunk(2, -1)
        c = sigmoid(f) * state.c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return self.State(h=torch.where(keep_h, state.h, h), c=torch.where(keep_c, state.c, c))


class Chain(Cell):
    """A step of two layers: a product of a product, by submodules with biases."""

    states = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_x = nn.Linear(input_size, hidden_size)
        self.first = nn.Linear(hidden_size, 2 * hidden_size)
        self.second = nn.Linear(2 * hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)

    def project(self, x: Tensor) -> Tensor:
        return self.of_x(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        through = self.second(self.first(state.h))
        again = self.second(tanh(self.first(self.norm(through + inp))))
        return self.State(h=tanh(state.h + again))


class Multiplicative(Cell):
    """The multiplicative LSTM: B. Krause et al., 2016."""

    states = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_x = nn.Linear(input_size, 5 * hidden_size)
        self.of_h = nn.Linear(hidden_size, hidden_size, bias=False)
        self.of_m = nn.Parameter(torch.randn(4 * hidden_size, hidden_size) / hidden_size**0.5)

    def project(self, x: Tensor) -> Tensor:
        return self.of_x(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        m = inp[:, : self.hidden_size] * self.of_h(state.h)
        i, f, g, o = (inp[:, self.hidden_size :] + F.linear(m, self.of_m)).chunk(4, -1)
        c = sigmoid(f) * state.c + sigmoid(i) * tanh(g)
        return self.State(h=sigmoid(o) * tanh(c), c=c)


class Tied(Cell):
    """One matrix used several times, also transposed and in parts; one that is not learned."""

    states = ("h", "unused")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_x = nn.Parameter(torch.randn(hidden_size, input_size))
        self.weight = nn.Parameter(torch.randn(3 * hidden_size, hidden_size) / hidden_size**0.5)
        self.register_buffer("fixed", torch.randn(hidden_size, hidden_size) / hidden_size**0.5)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.of_x)

    def step(self, inp: Tensor, state: Any) -> Any:
        size = self.hidden_size
        upper, lower = self.weight[:size], self.weight[size : 2 * size]
        a = tanh(inp + F.linear(state.h, upper))
        b = tanh(state.h @ upper + F.linear(a, lower) + F.linear(a + state.h, self.fixed))
        return self.State(h=self.scale * b + F.linear(b, upper), unused=state.unused)


class ProjectsItself(PointwiseCell):
    """A pointwise cell whose inputs come in another way."""

    gates, states = ("z", "leak"), ("h",)

    def project(self, x: Tensor, weights: Any = None) -> Tensor:
        return torch.sin(super().project(x, weights))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        leak = sigmoid(inp.leak + rec.leak)
        return self.State(h=(1 - leak) * state.h + leak * tanh(inp.z + rec.z))


class PointwiseWithMatrix(PointwiseCell):
    """A pointwise cell with one more matrix, on its other state."""

    gates, states = ("z", "o"), ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_c = nn.Linear(hidden_size, hidden_size)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        c = 0.5 * state.c + tanh(inp.z + rec.z + self.of_c(state.c))
        return self.State(h=sigmoid(inp.o + rec.o) * c, c=c)


class Normed(Cell):
    """Matrices that are computed from others: weight norm, and an orthogonal one."""

    states = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.of_x = nn.Linear(input_size, hidden_size)
        self.of_h = parametrizations.weight_norm(nn.Linear(hidden_size, hidden_size))
        self.turn = parametrizations.orthogonal(nn.Linear(hidden_size, hidden_size, bias=False))

    def project(self, x: Tensor) -> Tensor:
        return self.of_x(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        return self.State(h=tanh(inp + self.turn(torch.relu(self.of_h(state.h)))))


CELLS: tuple[type[Cell], ...] = (
    TwoMatrices,
    OnBothStates,
    Zoneout,
    Chain,
    Multiplicative,
    Tied,
    ProjectsItself,
    PointwiseWithMatrix,
    Normed,
)
