"""Cells as a user would write them, each with something that the built-in ones do not have."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, sigmoid, tanh
from torch.nn import functional as F

from elman.cells import PointwiseCell


class MinimalGated(PointwiseCell):
    """One gate, on what the state puts into the candidate and on the state itself."""

    gates, states = ("f", "n"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        f = sigmoid(inp.f + rec.f)
        return self.State(h=(1 - f) * state.h + f * tanh(inp.n + f * rec.n))


class Peephole(PointwiseCell):
    """A coupled-gate LSTM whose gates look at the cell state."""

    gates, states = ("f", "g", "o"), ("h", "c")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.peep_f = nn.Parameter(torch.randn(self.hidden_size))
        self.peep_o = nn.Parameter(torch.randn(self.hidden_size))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        f = sigmoid(inp.f + rec.f + self.peep_f * state.c)
        c = f * state.c + (1 - f) * tanh(inp.g + rec.g)
        return self.State(h=sigmoid(inp.o + rec.o + self.peep_o * c) * tanh(c), c=c)


class NormedGRU(PointwiseCell):
    """Layer norm of what each half puts into the gates, all gates at once, and of the candidate."""

    gates, states = ("r", "z", "n"), ("h",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.norm = nn.LayerNorm(2 * self.hidden_size)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        both = self.norm(torch.cat([inp.r + rec.r, inp.z + rec.z], -1))
        r, z = both.sigmoid().chunk(2, -1)
        n = tanh(F.layer_norm(inp.n, inp.n.shape[-1:]) + r * F.layer_norm(rec.n, rec.n.shape[-1:]))
        return self.State(h=n + z * (state.h - n))


class Sine(PointwiseCell):
    """A leak that is one learned number, and a buffer."""

    gates, states = ("z",), ("h",)
    sharpness = 1.5

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.leak = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("shift", torch.randn(self.hidden_size))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        z = torch.sin(self.sharpness * (inp.z + rec.z) + self.shift)
        return self.State(h=(1 - self.leak) * state.h + self.leak * z)


class TwoMatrices(PointwiseCell):
    """A gate that only the state feeds, and one that only the input feeds."""

    gates, states = ("a", "b", "only_input"), ("h", "m")

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        a = F.softplus(inp.a + rec.a) * rec.b
        m = 0.9 * state.m + a * F.gelu(inp.only_input)
        return self.State(h=torch.where(m > 0.1, tanh(m), F.silu(m)), m=m)


class Statistics(PointwiseCell):
    """Means and deviations over the units, of the state too."""

    gates, states = ("a",), ("h", "unused")

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        a = inp.a + rec.a
        spread = a.var(-1, keepdim=True, correction=0).add(1e-3).rsqrt()
        h = (a - a.mean(-1, keepdim=True)) * spread + state.h.abs().clamp(0.1, 0.8).sqrt()
        return self.State(h=h.clamp(-3, 3) / (1 + h**2).sum(-1, keepdim=True), unused=state.unused)


CELLS = (MinimalGated, Peephole, NormedGRU, Sine, TwoMatrices, Statistics)
