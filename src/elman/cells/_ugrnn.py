"""The update gate network."""

from __future__ import annotations

from typing import Any, final

from torch import sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class UGRNN(PointwiseCell):
    r"""Update gate network: one gate between the old state and a candidate.

    .. math::
        c_t &= \tanh(W_{ic} x_t + b_{ic} + W_{hc} h_{t-1} + b_{hc}) \\
        g_t &= \sigma(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) &\text{update} \\
        h_t &= g_t \odot h_{t-1} + (1 - g_t) \odot c_t

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); gates stacked c, g.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.UGRNN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        J. Collins, J. Sohl-Dickstein and D. Sussillo, "Capacity and trainability in recurrent
        neural networks", ICLR 2017.
    """

    gates, states = ("c", "g"), ("h",)
    memory_gate, retention = "g", "update"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        c, g = tanh(inp.c + rec.c), sigmoid(inp.g + rec.g)
        self.watch(update=g)
        return self.State(h=c + g * (state.h - c))
