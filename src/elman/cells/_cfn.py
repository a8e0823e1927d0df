"""The chaos-free network."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class CFN(Cell):
    r"""Chaos-free network: without input every state fades to zero.

    .. math::
        \theta_t &= \sigma(U_\theta h_{t-1} + V_\theta x_t + b_\theta) &\text{forget} \\
        \eta_t &= \sigma(U_\eta h_{t-1} + V_\eta x_t + b_\eta) &\text{input} \\
        h_t &= \theta_t \odot \tanh(h_{t-1}) + \eta_t \odot \tanh(W x_t + b)

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
        >>> output, state = elman.Recurrent(elman.cells.CFN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        T. Laurent and J. von Brecht, "A recurrent neural network without chaos", ICLR 2017.
    """

    states = ("h",)

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        theta_x, eta_x, x = inp.chunk(3, -1)
        theta_h, eta_h = self.recurrent(state.h).chunk(2, -1)
        theta, eta = sigmoid(theta_x + theta_h), sigmoid(eta_x + eta_h)
        self.watch(forget=theta, input=eta)
        return self.State(h=theta * tanh(state.h) + eta * tanh(x))
