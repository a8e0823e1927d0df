"""The memory controller LSTM."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class MCLSTM(Cell):
    r"""Memory controller LSTM: the gates see a control vector v, and not the output h.

    .. math::
        f_t &= \sigma(V_f x_t + b_f + W_f v_{t-1}) &\text{forget} \\
        i_t &= \sigma(V_i x_t + b_i + W_i v_{t-1}) &\text{store} \\
        o_t &= \sigma(V_o x_t + b_o + W_o v_{t-1}) &\text{output} \\
        m_t &= \sigma(V_m x_t + b_m + W_m v_{t-1}) &\text{control} \\
        c_t &= f_t \odot c_{t-1} + i_t \odot \tanh(V_n x_t + b_n + W_n v_{t-1}) \\
        h_t &= o_t \odot \tanh(c_t) \qquad v_t = m_t \odot \tanh(c_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t, v_t and c_t.
        bias: whether there are biases.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h, v and c (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.MCLSTM(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        "Sequence modeling using a memory controller extension for LSTM", NIPS 2017 Time Series
        Workshop.
    """

    states = ("h", "v", "c")
    retention = "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 5 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, 5 * hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        f, i, o, m, n = (inp + self.recurrent(state.v)).chunk(5, -1)
        f, i, o, m = sigmoid(f), sigmoid(i), sigmoid(o), sigmoid(m)
        c = f * state.c + i * tanh(n)
        self.watch(forget=f, store=i, output=o, control=m)
        return self.State(h=o * tanh(c), v=m * tanh(c), c=c)
