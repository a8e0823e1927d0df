"""The recurrent highway network."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn, sigmoid, tanh

from elman._errors import ConfigError
from elman.cells._base import Cell


@final
class RHN(Cell):
    r"""Recurrent highway network: several gated layers in each step, one above the other.

    .. math::
        s^{(0)} &= h_{t-1} \qquad h_t = s^{(L)} \\
        n^{(l)} &= \tanh(W_n x_t [l = 1] + R_n^{(l)} s^{(l-1)} + b_n^{(l)}) \\
        k^{(l)} &= \sigma(W_k x_t [l = 1] + R_k^{(l)} s^{(l-1)} + b_k^{(l)}) &\text{transform} \\
        s^{(l)} &= k^{(l)} \odot n^{(l)} + (1 - k^{(l)}) \odot s^{(l-1)}

    The carry gate is 1 - k, as in the paper's experiments; watched is its product over the layers.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        depth: L, the layers of one step.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); W and R stacked n, k.

    Raises:
        ConfigError: a size or a depth below one.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.RHN(3, 5, depth=2)
        >>> output, state = elman.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        J. G. Zilly, R. K. Srivastava, J. Koutnik and J. Schmidhuber, "Recurrent highway networks",
        ICML 2017.
    """

    states = ("h",)
    retention = "carry"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        depth: int = 3,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        if depth < 1:
            raise ConfigError(f"depth must be at least 1 layer, got {depth}")
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size, bias=False, **factory)
        self.layers = nn.ModuleList(
            nn.Linear(hidden_size, 2 * hidden_size, bias, **factory) for _ in range(depth)
        )

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Any, state: Any) -> Any:
        s, carry = state.h, torch.ones_like(state.h)
        for layer in self.layers:
            n, k = (inp + layer(s)).chunk(2, -1)
            k, inp = sigmoid(k), 0  # x_t enters the first layer alone
            s, carry = k * tanh(n) + (1 - k) * s, (1 - k) * carry
        self.watch(carry=carry)
        return self.State(h=s)
