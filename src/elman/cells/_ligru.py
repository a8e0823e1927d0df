"""The light gated recurrent unit."""

from __future__ import annotations

from typing import Any, final

from torch import relu, sigmoid

from elman.cells._base import PointwiseCell


@final
class LiGRU(PointwiseCell):
    r"""Light gated unit: a GRU without its reset gate, and with relu.

    .. math::
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) &\text{update} \\
        n_t &= \text{relu}(W_{in} x_t + b_{in} + W_{hn} h_{t-1} + b_{hn}) \\
        h_t &= z_t \odot h_{t-1} + (1 - z_t) \odot n_t

    The paper normalizes W_i x_t over the batch. That is left out: here a row gives the same in any
    batch. Without it the state can grow; clip the gradient, or normalize the input of the layer.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); gates stacked z, n.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.LiGRU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        M. Ravanelli, P. Brakel, M. Omologo and Y. Bengio, "Light gated recurrent units for speech
        recognition", IEEE Transactions on Emerging Topics in Computational Intelligence 2, 2018.
    """

    gates, states = ("z", "n"), ("h",)
    memory_gate, retention = "z", "update"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        z, n = sigmoid(inp.z + rec.z), relu(inp.n + rec.n)
        self.watch(update=z)
        return self.State(h=n + z * (state.h - n))
