"""The minion recurrent unit with a reset gate."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class MiRU1(Cell):
    r"""Minion recurrent unit 1: a GRU whose update gate is a constant.

    .. math::
        r_t &= \sigma(W_{ir} x_t + b_r + W_{hr} h_{t-1}) &\text{reset} \\
        n_t &= \tanh(W_{in} x_t + b_n + W_{hn} (r_t \odot h_{t-1})) \\
        h_t &= \lambda h_{t-1} + (1 - \lambda) n_t

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        update: lambda, how much of the old state is retained.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); W_i stacked r, n.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.MiRU1(3, 5, update=0.9)
        >>> output, state = elman.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        A. M. Zyarah and D. Kudithipudi, "Minion gated recurrent unit for continual learning",
        Neurocomputing 2026.
    """

    states = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        update: float = 0.5,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.update = update
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_r, x_n = inp.chunk(2, -1)
        r = sigmoid(x_r + self.recurrent(state.h))
        n = tanh(x_n + self.candidate(r * state.h))
        self.watch(reset=r)
        return self.State(h=n + self.update * (state.h - n))
