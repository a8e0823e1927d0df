"""The coupled oscillatory recurrent network."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, tanh

from elman.cells._base import Cell


@final
class CoRNN(Cell):
    r"""Coupled oscillators: positions y and velocities z, driven by the input.

    .. math::
        z_t &= z_{t-1} + \Delta t \, (\tanh(W y_{t-1} + \mathcal{W} z_{t-1} + V x_t + b)
            - \gamma y_{t-1} - \epsilon z_{t-1}) \\
        y_t &= y_{t-1} + \Delta t \, z_t

    Args:
        input_size: features of x_t.
        hidden_size: units of y_t and z_t.
        dt: the step size.
        gamma: the frequency of the oscillators, squared.
        epsilon: how strongly they are damped.
        bias: whether there are biases.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), y and z (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.CoRNN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.y)
        True

    References:
        T. K. Rusch and S. Mishra, "Coupled oscillatory recurrent neural network (coRNN): an
        accurate and (gradient) stable architecture for learning long time dependencies", ICLR 2021;
        equation 3 with the damping of the last step.
    """

    states = ("y", "z")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 0.1,
        gamma: float = 1.0,
        epsilon: float = 1.0,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.dt, self.gamma, self.epsilon = dt, gamma, epsilon
        self.input = nn.Linear(input_size, hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)
        self.velocity = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        force = tanh(inp + self.recurrent(state.y) + self.velocity(state.z))
        z = state.z + self.dt * (force - self.gamma * state.y - self.epsilon * state.z)
        return self.State(y=state.y + self.dt * z, z=z)
