"""Five cells that are not built in, as a user would write them: what the engines must be quick at.

No code outside this file knows them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from benchmarks.speed._plan import CUSTOM
from torch import Tensor, nn, sigmoid, tanh
from torch.nn import functional as F

from elman.cells import GRU, LSTM, Cell, Elman, PointwiseCell, resolve


class MinimalGated(PointwiseCell):
    r"""One gate, which both resets and updates; it acts after the matrix product.

    .. math::
        f_t = \sigma(inp_f + rec_f) \qquad n_t = \tanh(inp_n + f_t \odot rec_n) \qquad
        h_t = (1 - f_t) \odot h_{t-1} + f_t \odot n_t

    References:
        G.-B. Zhou, J. Wu, C.-L. Zhang and Z.-H. Zhou, "Minimal gated unit for recurrent neural
        networks", International Journal of Automation and Computing 13, 2016.
    """

    gates, states = ("f", "n"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        f = sigmoid(inp.f + rec.f)
        n = tanh(inp.n + f * rec.n)
        return self.State(h=state.h + f * (n - state.h))


class CoupledPeephole(PointwiseCell):
    r"""An LSTM that forgets as much as it stores, and whose gates see the cell state.

    .. math::
        i_t &= \sigma(inp_i + rec_i + p_i \odot c_{t-1}) \\
        c_t &= (1 - i_t) \odot c_{t-1} + i_t \odot \tanh(inp_g + rec_g) \\
        o_t &= \sigma(inp_o + rec_o + p_o \odot c_t) \qquad h_t = o_t \odot \tanh(c_t)

    References:
        K. Greff et al., "LSTM: a search space odyssey", IEEE Transactions on Neural Networks and
        Learning Systems 28, 2017 (CIFG; peepholes: F. A. Gers and J. Schmidhuber, 2000).
    """

    gates, states = ("i", "g", "o"), ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.peephole_i = nn.Parameter(torch.randn(hidden_size) * 0.1)
        self.peephole_o = nn.Parameter(torch.randn(hidden_size) * 0.1)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        i = sigmoid(inp.i + rec.i + self.peephole_i * state.c)
        c = state.c + i * (tanh(inp.g + rec.g) - state.c)
        o = sigmoid(inp.o + rec.o + self.peephole_o * c)
        return self.State(h=o * tanh(c), c=c)


class LayerNormGRU(PointwiseCell):
    r"""A GRU whose recurrent products are normalized, gate by gate.

    .. math::
        r_t &= \sigma(inp_r + N_r(rec_r)) \qquad z_t = \sigma(inp_z + N_z(rec_z)) \\
        n_t &= \tanh(inp_n + r_t \odot N_n(rec_n)) \qquad
        h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    References:
        J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016.
    """

    gates, states = ("r", "z", "n"), ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.norm_r = nn.LayerNorm(hidden_size)
        self.norm_z = nn.LayerNorm(hidden_size)
        self.norm_n = nn.LayerNorm(hidden_size)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        r = sigmoid(inp.r + self.norm_r(rec.r))
        z = sigmoid(inp.z + self.norm_z(rec.z))
        n = tanh(inp.n + r * self.norm_n(rec.n))
        return self.State(h=n + z * (state.h - n))


def sine(input_size: int, hidden_size: int) -> Elman:
    """The simple recurrent cell with a sine for its activation: h_t = sin(inp + rec)."""
    return Elman(input_size, hidden_size, activation=torch.sin)


class TwoMatrices(Cell):
    r"""The GRU as first published: the reset gate acts before a matrix product of its own.

    .. math::
        r_t, z_t &= \sigma(W_g x_t + b_g + U_g h_{t-1}) \\
        n_t &= \tanh(W_n x_t + b_n + U_n (r_t \odot h_{t-1})) \qquad
        h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    References:
        K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """

    states = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        bound = 1 / math.sqrt(hidden_size)

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

        self.weight_ih = parameter(3 * hidden_size, input_size)
        self.bias = parameter(3 * hidden_size)
        self.weight_gates = parameter(2 * hidden_size, hidden_size)
        self.weight_candidate = parameter(hidden_size, hidden_size)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, inp: Tensor, state: Any) -> Any:
        inp_r, inp_z, inp_n = inp.chunk(3, -1)
        rec_r, rec_z = F.linear(state.h, self.weight_gates).chunk(2, -1)
        r, z = sigmoid(inp_r + rec_r), sigmoid(inp_z + rec_z)
        n = tanh(inp_n + F.linear(r * state.h, self.weight_candidate))
        return self.State(h=n + z * (state.h - n))


_CELLS: dict[str, Any] = {
    "lstm": LSTM,
    "gru": GRU,
    "tanh": Elman,
    "relu": lambda i, h: Elman(i, h, activation="relu"),
    **dict(
        zip(CUSTOM, (MinimalGated, CoupledPeephole, LayerNormGRU, sine, TwoMatrices), strict=True)
    ),
}


def make_cell(name: str, input_size: int, hidden_size: int) -> Cell:
    """A new cell of the name that tables have for it, or of a reference."""
    kind = _CELLS[name] if name in _CELLS else resolve(name)
    made: Cell = kind(input_size, hidden_size)
    return made
