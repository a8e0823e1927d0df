"""Just another network: the LSTM with its forget gate alone."""

from __future__ import annotations

from typing import Any, final

from torch import sigmoid, tanh

from elman.cells._base import PointwiseCell


@final
class JANET(PointwiseCell):
    r"""Just another network: of the gates of the LSTM, the forget gate alone.

    .. math::
        s_t &= W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf} \qquad f_t = \sigma(s_t) \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        h_t &= f_t \odot h_{t-1} + (1 - \sigma(s_t - \beta)) \odot g_t

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        beta: how much more than it forgets the cell stores.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); gates stacked f, g.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.JANET(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        J. van der Westhuizen and J. Lasenby, "The unreasonable effectiveness of the forget gate",
        2018; meant for chrono initialization, see :func:`elman.init.chrono`.
    """

    gates, states = ("f", "g"), ("h",)
    memory_gate, retention = "f", "forget"

    def __init__(
        self, input_size: int, hidden_size: int, *, beta: float = 1.0, **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.beta = beta

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        s, g = inp.f + rec.f, tanh(inp.g + rec.g)
        f, store = sigmoid(s), sigmoid(self.beta - s)
        self.watch(forget=f, store=store)
        return self.State(h=f * state.h + store * g)
