"""The residual LSTM."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell, named_tuple

Inputs = named_tuple("Inputs", ("gates", "shortcut"))


@final
class ResLSTM(Cell):
    r"""Residual LSTM: the input reaches the output past the cell state.

    .. math::
        i_t &= \sigma(W_{ii} x_t + b_i + W_{hi} h_{t-1} + p_i \odot c_{t-1}) &\text{store} \\
        f_t &= \sigma(W_{if} x_t + b_f + W_{hf} h_{t-1} + p_f \odot c_{t-1}) &\text{forget} \\
        g_t &= \tanh(W_{ig} x_t + b_g + W_{hg} h_{t-1}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        o_t &= \sigma(W_{io} x_t + b_o + W_{ho} h_{t-1} + p_o \odot c_t) &\text{output} \\
        h_t &= o_t \odot (W_p \tanh(c_t) + W_s x_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); W stacked i, f, g, o, and
    peepholes (weight_ph) i, f, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.ResLSTM(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        J. Kim, M. El-Khamy and J. Lee, "Residual LSTM: design of a deep recurrent architecture for
        distant speech recognition", Interspeech 2017.
    """

    states = ("h", "c")
    retention = "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 4 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False, **factory)
        self.shortcut = nn.Linear(input_size, hidden_size, bias=False, **factory)
        self.projection = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        bound = 1 / math.sqrt(hidden_size)
        weight_ph = torch.empty(3 * hidden_size, **factory).uniform_(-bound, bound)
        self.weight_ph = nn.Parameter(weight_ph)

    def project(self, x: Tensor) -> Any:
        return Inputs(self.input(x), self.shortcut(x))

    def step(self, inp: Any, state: Any) -> Any:
        p_i, p_f, p_o = self.weight_ph.chunk(3)
        u_i, u_f, u_g, u_o = (inp.gates + self.recurrent(state.h)).chunk(4, -1)
        i, f = sigmoid(u_i + p_i * state.c), sigmoid(u_f + p_f * state.c)
        c = f * state.c + i * tanh(u_g)
        o = sigmoid(u_o + p_o * c)
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * (self.projection(tanh(c)) + inp.shortcut), c=c)
