"""The fast gated recurrent network."""

from __future__ import annotations

from typing import Any, final

from torch import nn, sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class FastGRNN(PointwiseCell):
    r"""Fast gated network: the gate and the candidate share their matrices.

    .. math::
        p_t &= W x_t + U h_{t-1} \\
        z_t &= \sigma(p_t + b_z) &\text{update} \\
        h_t &= (\sigma(\zeta) (1 - z_t) + \sigma(\nu)) \odot \tanh(p_t + b_h) + z_t \odot h_{t-1}

    As in the authors' code the biases begin at 1, and the learned numbers zeta and nu at 1 and -4.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are biases.
        factory: device and dtype of the parameters.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.FastGRNN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        A. Kusupati, M. Singh, K. Bhatia, A. Kumar, P. Jain and M. Varma, "FastGRNN: a fast,
        accurate, stable and tiny kilobyte sized gated recurrent neural network", NeurIPS 2018.
    """

    gates, states = ("p",), ("h",)
    retention = "update"

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, **factory: Any
    ) -> None:
        super().__init__(input_size, hidden_size, bias=False, **factory)
        ones = self.weight_hh.new_ones(2 * hidden_size)
        self.bias = nn.Parameter(ones) if bias else None
        self.zeta, self.nu = (nn.Parameter(ones.new_full((), value)) for value in (1.0, -4.0))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        p = inp.p + rec.p
        b_z, b_h = (0, 0) if self.bias is None else self.bias.chunk(2)
        z, new = sigmoid(p + b_z), tanh(p + b_h)
        self.watch(update=z)
        scale = sigmoid(self.zeta) * (1 - z) + sigmoid(self.nu)
        return self.State(h=scale * new + z * state.h)
