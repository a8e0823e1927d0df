"""The simple gated recurrent network."""

from __future__ import annotations

from typing import Any, final

from torch import sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class SGRN(PointwiseCell):
    r"""Simple gated network: one gate divides between the old state and the projected input.

    .. math::
        u_t &= W_{if} x_t + b_{if} \\
        f_t &= \sigma(u_t + W_{hf} h_{t-1} + b_{hf}) &\text{forget} \\
        h_t &= \tanh((1 - f_t) \odot u_t + f_t \odot h_{t-1})

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.SGRN(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        The simple gated recurrent network of doi:10.1049/gtd2.12056, IET Generation, Transmission
        and Distribution 2020.
    """

    gates, states = ("f",), ("h",)
    retention = "forget"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        f = sigmoid(inp.f + rec.f)
        self.watch(forget=f)
        return self.State(h=tanh(inp.f + f * (state.h - inp.f)))
