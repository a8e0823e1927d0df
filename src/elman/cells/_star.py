"""The stackable recurrent cell."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class STAR(Cell):
    r"""Stackable recurrent cell: one gate, by which gradients keep their size in deep stacks.

    .. math::
        z_t &= \tanh(W_{iz} x_t + b_z) \\
        k_t &= \sigma(W_{ik} x_t + b_k + W_{hk} h_{t-1}) &\text{gate} \\
        h_t &= \tanh((1 - k_t) \odot h_{t-1} + k_t \odot z_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); W_i stacked z, k.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.STAR(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        M. O. Turkoglu, S. D'Aronco, J. D. Wegner and K. Schindler, "Gating revisited: deep
        multi-layer RNNs that can be trained", IEEE TPAMI 2021.
    """

    states = ("h",)
    retention = "carry"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_z, x_k = inp.chunk(2, -1)
        z, k = tanh(x_z), sigmoid(x_k + self.recurrent(state.h))
        carry = 1 - k
        self.watch(gate=k, carry=carry)
        return self.State(h=tanh(carry * state.h + k * z))
