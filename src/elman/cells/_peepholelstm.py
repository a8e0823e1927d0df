"""Long short-term memory with peepholes."""

from __future__ import annotations

import math
from typing import Any, final

from torch import nn, sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class PeepholeLSTM(PointwiseCell):
    r"""Long short-term memory whose gates see the cell state, unit by unit.

    .. math::
        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi} + p_i \odot c_{t-1})
            &\text{store} \\
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf} + p_f \odot c_{t-1})
            &\text{forget} \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho} + p_o \odot c_t)
            &\text{output} \\
        h_t &= o_t \odot \tanh(c_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); gates stacked i, f, g, o, and
    peepholes (weight_ph) i, f, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.PeepholeLSTM(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        F. A. Gers, N. N. Schraudolph and J. Schmidhuber, "Learning precise timing with LSTM
        recurrent networks", JMLR 3, 2002; with a squashed output as in K. Greff et al., "LSTM: a
        search space odyssey", 2017.
    """

    gates, states = ("i", "f", "g", "o"), ("h", "c")
    memory_gate, retention = "f", "forget"

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        bound = 1 / math.sqrt(hidden_size)
        peepholes = self.weight_hh.new_empty(3 * hidden_size)
        self.weight_ph = nn.Parameter(peepholes.uniform_(-bound, bound))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        p_i, p_f, p_o = self.weight_ph.chunk(3)
        i = sigmoid(inp.i + rec.i + p_i * state.c)
        f = sigmoid(inp.f + rec.f + p_f * state.c)
        c = f * state.c + i * tanh(inp.g + rec.g)
        o = sigmoid(inp.o + rec.o + p_o * c)
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * tanh(c), c=c)
