"""The minimal recurrent network."""

from __future__ import annotations

from typing import Any, NamedTuple, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


class Latent(NamedTuple):
    """The code of x_t, and what it adds to the gate."""

    z: Tensor
    u: Tensor


@final
class MinimalRNN(Cell):
    r"""Minimal recurrent network: the state is a running mean of encoded inputs.

    .. math::
        z_t &= \tanh(V x_t + b) \\
        u_t &= \sigma(U_h h_{t-1} + U_z z_t + b_u) &\text{update} \\
        h_t &= u_t \odot h_{t-1} + (1 - u_t) \odot z_t

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
        >>> output, state = elman.Recurrent(elman.cells.MinimalRNN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        M. Chen, "MinimalRNN: toward more interpretable and trainable recurrent neural networks",
        2017.
    """

    states = ("h",)
    retention = "update"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, hidden_size, bias, **factory)
        self.latent = nn.Linear(hidden_size, hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Latent:
        z = tanh(self.input(x))
        return Latent(z, self.latent(z))

    def step(self, inp: Latent, state: Any) -> Any:
        u = sigmoid(inp.u + self.recurrent(state.h))
        self.watch(update=u)
        return self.State(h=inp.z + u * (state.h - inp.z))
