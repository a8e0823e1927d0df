"""The undamped independent controlled oscillatory network."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn, sigmoid, tanh

from elman.cells._elementwise import ElementwiseCell


@final
class UnICORNN(ElementwiseCell):
    r"""Undamped independent controlled oscillators: units that swing, each at a pace of its own.

    .. math::
        z_t &= z_{t-1} - \Delta t \, \sigma(c) \odot
        [\tanh(w_{hh} \odot y_{t-1} + W_{ih} x_t + b_{ih}) + \alpha y_{t-1}] \\
        y_t &= y_{t-1} + \Delta t \, \sigma(c) \odot z_t

    Each step has determinant one, so that gradients neither vanish nor explode.

    Args:
        input_size: features of x_t.
        hidden_size: units of y_t and z_t.
        dt: Delta t, the longest time step.
        alpha: how strongly y is pulled back.
        bias: whether there is b_ih.

    Shapes: x_t (batch, input_size), y and z (batch, hidden_size); ``weight_hh`` and ``weight_ch``,
    which is c, are vectors.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.UnICORNN(3, 5, dt=0.2, alpha=30.0))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> output.shape, state.z.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        T. K. Rusch and S. Mishra, "UnICORNN: a recurrent model for learning very long time
        dependencies", ICML 2021.
    """

    states = ("y", "z")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 0.1,
        alpha: float = 0.0,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.dt, self.alpha = dt, alpha
        self.input = nn.Linear(input_size, hidden_size, bias, **factory)
        self.weight_hh = nn.Parameter(torch.rand(hidden_size, **factory))
        pace = torch.empty(hidden_size, **factory).uniform_(-0.1, 0.1)
        self.weight_ch = nn.Parameter(pace)

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        pace = self.dt * sigmoid(self.weight_ch)
        force = tanh(self.weight_hh * state.y + inp)
        if self.alpha:
            force = force + self.alpha * state.y
        z = state.z - pace * force
        return self.State(y=state.y + pace * z, z=z)
