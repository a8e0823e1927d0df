"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any, final

from torch import sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class GRU(PointwiseCell):
    r"""Gated recurrent unit: an update gate z between the old state and a candidate n.

    .. math::
        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) &\text{reset} \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) &\text{update} \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    The reset gate stands after the matrix product, as in torch.nn and cuDNN.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); gates stacked r, z, n.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.GRU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """

    gates, states = ("r", "z", "n"), ("h",)
    memory_gate, retention = "z", "update"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        r, z = sigmoid(inp.r + rec.r), sigmoid(inp.z + rec.z)
        n = tanh(inp.n + r * rec.n)
        self.watch(reset=r, update=z)
        return self.State(h=n + z * (state.h - n))
