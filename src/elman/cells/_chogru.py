"""The gated recurrent unit as it was published."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class ChoGRU(Cell):
    r"""Gated recurrent unit whose reset gate stands before the matrix product.

    .. math::
        r_t &= \sigma(W_{ir} x_t + b_r + W_{hr} h_{t-1}) &\text{reset} \\
        z_t &= \sigma(W_{iz} x_t + b_z + W_{hz} h_{t-1}) &\text{update} \\
        n_t &= \tanh(W_{in} x_t + b_n + W_{hn} (r_t \odot h_{t-1})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    :class:`GRU` has the reset gate after the product, as torch.nn and cuDNN have it.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); W_i stacked r, z, n.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.ChoGRU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """

    states = ("h",)
    retention = "update"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, 2 * hidden_size, bias=False, **factory)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_r, x_z, x_n = inp.chunk(3, -1)
        h_r, h_z = self.recurrent(state.h).chunk(2, -1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + self.candidate(r * state.h))
        self.watch(reset=r, update=z)
        return self.State(h=n + z * (state.h - n))
