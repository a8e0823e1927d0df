"""The bistable recurrent cell."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn, sigmoid, tanh

from elman.cells._elementwise import ElementwiseCell


@final
class BR(ElementwiseCell):
    r"""Bistable cell: a unit feeds back to itself alone, and strong feedback makes it a switch.

    .. math::
        a_t &= 1 + \tanh(U_a x_t + b_a + w_a \odot h_{t-1}) &\text{feedback} \\
        c_t &= \sigma(U_c x_t + b_c + w_c \odot h_{t-1}) &\text{update} \\
        h_t &= c_t \odot h_{t-1} + (1 - c_t) \odot \tanh(U x_t + b + a_t \odot h_{t-1})

    With a_t above one a unit has two stable states, and stays in that to which it was pushed.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.BR(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        N. Vecoven, D. Ernst and G. Drion, "A bio-inspired bistable recurrent cell allows for
        long-lasting memory", PLOS ONE 16, 2021.
    """

    states = ("h",)
    retention = "update"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)
        self.recurrent = nn.Parameter(torch.empty(2 * hidden_size, **factory))
        nn.init.uniform_(self.recurrent, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        a_x, c_x, h_x = inp.chunk(3, -1)
        a_h, c_h = (weight * state.h for weight in self.recurrent.chunk(2))
        a, c = 1 + tanh(a_x + a_h), sigmoid(c_x + c_h)
        self.watch(feedback=a, update=c)
        new = tanh(h_x + a * state.h)
        return self.State(h=new + c * (state.h - new))
