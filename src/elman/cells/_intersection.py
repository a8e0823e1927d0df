"""The intersection recurrent network."""

from __future__ import annotations

from typing import Any, NamedTuple, final

from torch import Tensor, nn, relu, sigmoid, tanh

from elman.cells._base import Cell


class IntersectionInput(NamedTuple):
    """The gates of x_t, and x_t itself in the size of the output."""

    gates: Tensor
    x: Tensor


@final
class IntersectionRNN(Cell):
    r"""Intersection network: a gate passes the input on to the output, another the state in time.

    .. math::
        p_t &= \text{relu}(V_p x_t + b_p + W_p h_{t-1}) \\
        n_t &= \tanh(V_n x_t + b_n + W_n h_{t-1}) \\
        d_t &= \sigma(V_d x_t + b_d + W_d h_{t-1}) &\text{depth} \\
        z_t &= \sigma(V_z x_t + b_z + W_z h_{t-1}) &\text{update} \\
        y_t &= d_t \odot S x_t + (1 - d_t) \odot p_t \\
        h_t &= z_t \odot h_{t-1} + (1 - z_t) \odot n_t

    Where sizes differ S is a learned matrix, as in a residual network; in the paper they do not.

    Args:
        input_size: features of x_t.
        hidden_size: units of y_t and h_t.
        bias: whether there are biases.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), y and h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.IntersectionRNN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.y)
        True

    References:
        J. Collins, J. Sohl-Dickstein and D. Sussillo, "Capacity and trainability in recurrent
        neural networks", ICLR 2017.
    """

    states = ("y", "h")
    retention = "update"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 4 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False, **factory)
        self.shortcut = (
            nn.Identity()
            if input_size == hidden_size
            else nn.Linear(input_size, hidden_size, bias=False, **factory)
        )

    def project(self, x: Tensor) -> IntersectionInput:
        return IntersectionInput(self.input(x), self.shortcut(x))

    def step(self, inp: IntersectionInput, state: Any) -> Any:
        p, n, d, z = (inp.gates + self.recurrent(state.h)).chunk(4, -1)
        p, n, d, z = relu(p), tanh(n), sigmoid(d), sigmoid(z)
        self.watch(depth=d, update=z)
        return self.State(y=p + d * (inp.x - p), h=n + z * (state.h - n))
