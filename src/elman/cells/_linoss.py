"""Linear oscillatory state-space cells."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError
from elman.cells._linear import LinearCell

METHODS = ("im", "imex")


@final
class LinOSS(LinearCell):
    r"""Linear oscillators: forced harmonic oscillators y'' = -A y + B x, in discrete time.

    .. math::
        z_t &= z_{t-1} + \Delta t \odot (-A \odot y^* + B x_t) \\
        y_t &= y_{t-1} + \Delta t \odot z_t \\
        h_t &= C y_t + D x_t

    y* is y_t where the ``method`` is implicit ("im"), which fades what is remembered, and y_{t-1}
    where it is implicit-explicit ("imex"), which conserves it. A = relu(``stiffness``) and
    Delta t = sigmoid(``time_step``).

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t, z_t and y_t.
        method: "im" or "imex".

    Shapes: x_t (batch, input_size), h, z and y (batch, hidden_size).

    Raises:
        ConfigError: another method, or a size below one.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LinOSS(3, 5, method="imex"))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> output.shape, state.y.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        T. K. Rusch and D. Rus, "Oscillatory state-space models", ICLR 2025.
    """

    states = ("h", "z", "y")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        method: str = "im",
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if method not in METHODS:
            raise ConfigError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        self.method = method

        def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> nn.Parameter:
            empty = torch.empty(shape, **factory)
            return nn.Parameter(empty.uniform_(low, high))

        of_x, of_y = input_size**-0.5, hidden_size**-0.5
        self.stiffness, self.time_step = uniform(hidden_size), uniform(hidden_size)
        self.weight_b = uniform(hidden_size, input_size, low=-of_x, high=of_x)
        self.weight_c = uniform(hidden_size, hidden_size, low=-of_y, high=of_y)
        self.weight_d = uniform(hidden_size, input_size, low=-of_x, high=of_x)

    def affine(self, x: Tensor) -> tuple[Tensor, ...]:
        return F.linear(x, self.weight_b), F.linear(x, self.weight_d)

    def coefficients(self, force: Tensor, skip: Tensor) -> tuple[Any, ...]:
        dt, stiffness = torch.sigmoid(self.time_step), torch.relu(self.stiffness)
        pull = dt * stiffness
        if self.method == "im":
            share = 1 / (1 + dt * pull)
            a = (share, -share * pull), (share * dt, share)
            return a, (share * dt * force, share * dt * dt * force), skip
        a = (torch.ones_like(dt), -pull), (dt, 1 - dt * pull)
        return a, (dt * force, dt * dt * force), skip

    def output(self, z: Tensor, y: Tensor, skip: Tensor) -> Tensor:
        return F.linear(y, self.weight_c) + skip
