"""The multiplicative LSTM."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor, nn, sigmoid, tanh

from elman.cells._base import Cell


@final
class MultiplicativeLSTM(Cell):
    r"""Long short-term memory whose input chooses the recurrent matrix, by a factor m.

    .. math::
        m_t &= (W_{im} x_t + b_m) \odot (W_{hm} h_{t-1} + b_{hm}) \\
        i_t &= \sigma(W_{ii} x_t + b_i + W_{mi} m_t) &\text{store} \\
        f_t &= \sigma(W_{if} x_t + b_f + W_{mf} m_t) &\text{forget} \\
        g_t &= \tanh(W_{ig} x_t + b_g + W_{mg} m_t) \\
        o_t &= \sigma(W_{io} x_t + b_o + W_{mo} m_t) &\text{output} \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \qquad h_t = o_t \odot \tanh(c_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of m_t, h_t and c_t.
        bias: whether there are biases b.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); W_i stacked m, i, f, g, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.MultiplicativeLSTM(3, 5))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        B. Krause, L. Lu, I. Murray and S. Renals, "Multiplicative LSTM for sequence modelling",
        ICLR workshop 2017.
    """

    states = ("h", "c")
    retention = "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 5 * hidden_size, bias, **factory)
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias, **factory)
        self.factor = nn.Linear(hidden_size, 4 * hidden_size, bias=False, **factory)

    def project(self, x: Tensor) -> Any:
        return self.input(x)

    def step(self, inp: Tensor, state: Any) -> Any:
        x_m, x_i, x_f, x_g, x_o = inp.chunk(5, -1)
        m_i, m_f, m_g, m_o = self.factor(x_m * self.recurrent(state.h)).chunk(4, -1)
        i, f, o = sigmoid(x_i + m_i), sigmoid(x_f + m_f), sigmoid(x_o + m_o)
        c = f * state.c + i * tanh(x_g + m_g)
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * tanh(c), c=c)
