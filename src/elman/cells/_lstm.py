"""Long short-term memory."""

from __future__ import annotations

from typing import Any, final

from torch import sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class LSTM(PointwiseCell):
    r"""Long short-term memory: a cell state c that is forgotten, stored to and put out by gates.

    .. math::
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) &\text{forget} \\
        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) &\text{store} \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t &\text{update} \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) &\text{output} \\
        h_t &= o_t \odot \tanh(c_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); gates stacked i, f, g, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.LSTM(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; the
        forget gate: F. A. Gers, J. Schmidhuber and F. Cummins, Neural Computation 12, 2000.
    """

    gates, states = ("i", "f", "g", "o"), ("h", "c")
    memory_gate, retention = "f", "forget"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        i, f, o = sigmoid(inp.i + rec.i), sigmoid(inp.f + rec.f), sigmoid(inp.o + rec.o)
        c = f * state.c + i * tanh(inp.g + rec.g)
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * tanh(c), c=c)
