"""The fast recurrent network."""

from __future__ import annotations

from typing import Any, final

from torch import nn, sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class FastRNN(PointwiseCell):
    r"""Fast recurrent network: an Elman cell with a weighted residual connection.

    .. math::
        z_t &= W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz} \\
        h_t &= \sigma(\alpha) \tanh(z_t) + \sigma(\beta) h_{t-1}

    The learned numbers alpha and beta begin at -3 and 3: at first the state is retained.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.FastRNN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        A. Kusupati, M. Singh, K. Bhatia, A. Kumar, P. Jain and M. Varma, "FastGRNN: a fast,
        accurate, stable and tiny kilobyte sized gated recurrent neural network", NeurIPS 2018.
    """

    gates, states = ("z",), ("h",)
    retention = "retain"

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.alpha = nn.Parameter(self.weight_hh.new_full((), -3.0))
        self.beta = nn.Parameter(self.weight_hh.new_full((), 3.0))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        retain = sigmoid(self.beta)
        self.watch(retain=retain.expand_as(state.h))
        return self.State(h=sigmoid(self.alpha) * tanh(inp.z + rec.z) + retain * state.h)
