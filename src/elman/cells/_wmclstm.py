"""The LSTM with working memory connections."""

from __future__ import annotations

from typing import Any, final

from torch import nn, sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class WMCLSTM(PointwiseCell):
    r"""LSTM with working memory: each gate also sees the cell state, through a matrix and a tanh.

    .. math::
        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}
            + \tanh(W_{ci} c_{t-1} + b_{ci})) \\
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}
            + \tanh(W_{cf} c_{t-1} + b_{cf})) \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}
            + \tanh(W_{co} c_t + b_{co})) \\
        h_t &= o_t \odot \tanh(c_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.
        bias: whether there are biases.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); gates stacked i, f, g, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.WMCLSTM(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        F. Landi, L. Baraldi, M. Cornia and R. Cucchiara, "Working memory connections for LSTM",
        Neural Networks 144, 2021.
    """

    gates, states = ("i", "f", "g", "o"), ("h", "c")
    memory_gate, retention = "f", "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size, bias=bias, **factory)
        self.memory = nn.Linear(hidden_size, 2 * hidden_size, bias, **factory)
        self.output = nn.Linear(hidden_size, hidden_size, bias, **factory)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        i_c, f_c = tanh(self.memory(state.c)).chunk(2, -1)
        i, f = sigmoid(inp.i + rec.i + i_c), sigmoid(inp.f + rec.f + f_c)
        c = f * state.c + i * tanh(inp.g + rec.g)
        o = sigmoid(inp.o + rec.o + tanh(self.output(c)))
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * tanh(c), c=c)
