"""Long short-term memory before it learned to forget."""

from __future__ import annotations

from typing import Any, final

from torch import sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class OriginalLSTM(PointwiseCell):
    r"""Long short-term memory as of 1997: its cell state is added to and never forgotten.

    .. math::
        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) &\text{store} \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) &\text{output} \\
        c_t &= c_{t-1} + i_t \odot g_t \qquad h_t = o_t \odot \tanh(c_t)

    The paper leaves the two squashing functions open; here both are tanh.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); gates stacked i, g, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.OriginalLSTM(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
    """

    gates, states = ("i", "g", "o"), ("h", "c")

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        i, o = sigmoid(inp.i + rec.i), sigmoid(inp.o + rec.o)
        c = state.c + i * tanh(inp.g + rec.g)
        self.watch(store=i, output=o)
        return self.State(h=o * tanh(c), c=c)
