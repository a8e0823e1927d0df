"""The light recurrent unit."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class LightRU(Cell):
    r"""Light recurrent unit: one gate, and a candidate of the input alone.

    .. math::
        f_t &= \sigma(V_f x_t + b_f + W_f h_{t-1}) &\text{update} \\
        n_t &= \tanh(V_n x_t + b_n) \\
        h_t &= (1 - f_t) \odot h_{t-1} + f_t \odot n_t

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
        >>> output, state = elman.Recurrent(elman.cells.LightRU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        H. Ye, Y. Zhang, H. Liu, X. Li, J. Chang and H. Zheng, "Light recurrent unit: towards an
        interpretable recurrent neural network for modeling long-range dependency", Electronics 13,
        2024.
    """

    states = ("h",)
    retention = "retain"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        n, f = inp.chunk(2, -1)
        f = sigmoid(f + self.recurrent(state.h))
        self.watch(update=f, retain=1 - f)
        return self.State(h=state.h + f * (tanh(n) - state.h))
