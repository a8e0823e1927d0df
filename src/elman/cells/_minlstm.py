"""The minimal long short-term memory that can be computed in parallel."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells._linear import LinearCell


@final
class MinLSTM(LinearCell):
    r"""minLSTM: an LSTM whose gates see the input alone, add up to one, and need no output gate.

    .. math::
        f_t &= \sigma(W_f x_t + b_f) \qquad i_t = \sigma(W_i x_t + b_i) \\
        \tilde h_t &= W_h x_t + b_h \\
        h_t &= \frac{f_t}{f_t + i_t} \odot h_{t-1} + \frac{i_t}{f_t + i_t} \odot \tilde h_t

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are b_f, b_i and b_h.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); ``input`` stacked f, i, h.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.MinLSTM(3, 5))
        >>> output, state, observed = layer(torch.randn(2, 7, 3), observe=True)
        >>> observed["forget"].shape
        torch.Size([2, 7, 5])

    References:
        L. Feng et al., "Were RNNs all we needed?", 2024.
    """

    states = ("h",)
    retention = "forget"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 3 * hidden_size, bias, **factory)

    def affine(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def coefficients(self, gates: Tensor) -> tuple[Any, ...]:
        f, i, candidate = gates.chunk(3, -1)
        # f / (f + i) of two sigmoids, without 0 / 0 where both underflow
        ratio = F.softplus(-i) - F.softplus(-f)
        return torch.sigmoid(ratio), torch.sigmoid(-ratio) * candidate
