"""The antisymmetric recurrent network with a gate."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class GatedAntisymmetricRNN(Cell):
    r"""Antisymmetric network with a gate, which has the matrix of the candidate.

    .. math::
        a_t &= (W - W^\top - \gamma I) h_{t-1} \\
        z_t &= \sigma(a_t + V_z x_t + b_z) &\text{input} \\
        h_t &= h_{t-1} + \epsilon z_t \odot \tanh(a_t + V_h x_t + b_h)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        epsilon: the step size.
        gamma: how strongly the state is damped.
        bias: whether there are biases.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.GatedAntisymmetricRNN(3, 5))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        B. Chang, M. Chen, E. Haber and E. H. Chi, "AntisymmetricRNN: a dynamical system view on
        recurrent neural networks", ICLR 2019.
    """

    states = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.1,
        gamma: float = 0.01,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.epsilon, self.gamma = epsilon, gamma
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        h = state.h  # two products, since a program has no matrix that is computed
        turn = self.recurrent(h) - h @ self.recurrent.weight - self.gamma * h
        z_x, h_x = inp.chunk(2, -1)
        z = sigmoid(z_x + turn)
        self.watch(input=z)
        return self.State(h=h + self.epsilon * z * tanh(h_x + turn))
