"""The addition-subtraction twin-gated recurrent network."""

from __future__ import annotations

from typing import Any, final

from torch import sigmoid

from elman.cells._base import PointwiseCell


@final
class ATR(PointwiseCell):
    r"""Addition-subtraction twin-gated network: both gates come from one sum and one difference.

    .. math::
        p_t &= W_{ip} x_t + b_{ip} \qquad q_t = W_{hp} h_{t-1} + b_{hp} \\
        i_t &= \sigma(p_t + q_t) &\text{input} \\
        f_t &= \sigma(p_t - q_t) &\text{forget} \\
        h_t &= i_t \odot p_t + f_t \odot h_{t-1}

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.ATR(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        B. Zhang, D. Xiong, J. Su, Q. Lin and H. Zhang, "Simplifying neural machine translation with
        addition-subtraction twin-gated recurrent networks", EMNLP 2018.
    """

    gates, states = ("p",), ("h",)
    retention = "forget"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        i, f = sigmoid(inp.p + rec.p), sigmoid(inp.p - rec.p)
        self.watch(input=i, forget=f)
        return self.State(h=i * inp.p + f * state.h)
