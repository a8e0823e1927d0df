"""Long expressive memory."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class LEM(Cell):
    r"""Long expressive memory: two states, each with a time step that the input learns to set.

    .. math::
        \Delta t_t &= \Delta t \, \sigma(W_1 y_{t-1} + V_1 x_t + b_1) \\
        \overline{\Delta t}_t &= \Delta t \, \sigma(W_2 y_{t-1} + V_2 x_t + b_2) \\
        z_t &= (1 - \Delta t_t) \odot z_{t-1}
            + \Delta t_t \odot \tanh(W_z y_{t-1} + V_z x_t + b_z) \\
        y_t &= (1 - \overline{\Delta t}_t) \odot y_{t-1}
            + \overline{\Delta t}_t \odot \tanh(W_y z_t + V_y x_t + b_y)

    Args:
        input_size: features of x_t.
        hidden_size: units of y_t and z_t.
        dt: the longest time step.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), y and z (batch, hidden_size); V and b stacked 1, 2, z, y.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.LEM(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.y)
        True

    References:
        T. K. Rusch, S. Mishra, N. B. Erichson and M. W. Mahoney, "Long expressive memory for
        sequence modeling", ICLR 2022.
    """

    states = ("y", "z")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 1.0,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.dt = dt
        self.input = nn.Linear(input_size, 4 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, 3 * hidden_size, bias=False, **factory)
        self.memory = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x1, x2, xz, xy = inp.chunk(4, -1)
        y1, y2, yz = self.recurrent(state.y).chunk(3, -1)
        dt, dt_bar = self.dt * sigmoid(x1 + y1), self.dt * sigmoid(x2 + y2)
        z = state.z + dt * (tanh(xz + yz) - state.z)
        y = state.y + dt_bar * (tanh(xy + self.memory(z)) - state.y)
        self.watch(dt=dt, dt_bar=dt_bar)
        return self.State(y=y, z=z)
