"""The LSTM with coupled gates."""

from __future__ import annotations

from typing import Any, final

from torch import sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class CIFG(PointwiseCell):
    r"""Long short-term memory with coupled gates: what is forgotten makes room for what is stored.

    .. math::
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) &\text{forget} \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot g_t &\text{update} \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) &\text{output} \\
        h_t &= o_t \odot \tanh(c_t)

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); gates stacked f, g, o.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.CIFG(3, 5))(torch.randn(2, 7, 3))
        >>> output.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink and J. Schmidhuber, "LSTM: a
        search space odyssey", IEEE TNNLS 2017.
    """

    gates, states = ("f", "g", "o"), ("h", "c")
    memory_gate, retention = "f", "forget"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        f, g = sigmoid(inp.f + rec.f), tanh(inp.g + rec.g)
        o = sigmoid(inp.o + rec.o)
        c = g + f * (state.c - g)
        self.watch(forget=f, output=o)
        return self.State(h=o * tanh(c), c=c)
