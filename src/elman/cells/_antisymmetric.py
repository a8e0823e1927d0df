"""The antisymmetric recurrent network."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, tanh

from elman.cells._base import Cell


@final
class AntisymmetricRNN(Cell):
    r"""Antisymmetric network: a step of a differential equation at the edge of stability.

    .. math::
        h_t = h_{t-1} + \epsilon \tanh((W - W^\top - \gamma I) h_{t-1} + V x_t + b)

    But for the damping, the matrix on h has imaginary eigenvalues: a signal neither grows nor
    fades.

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
        >>> layer = elman.Recurrent(elman.cells.AntisymmetricRNN(3, 5))
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
        self.input = nn.Linear(input_size, hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        h = state.h  # two products, since a program has no matrix that is computed
        turn = self.recurrent(h) - h @ self.recurrent.weight - self.gamma * h
        return self.State(h=h + self.epsilon * tanh(inp + turn))
