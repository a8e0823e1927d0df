"""The real-gated linear recurrent unit."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells._linear import LinearCell

SHARPNESS = 8.0
"""c of the paper."""


@final
class RGLRU(LinearCell):
    r"""Real-gated linear recurrent unit: a decay of its own for each unit, which a gate slows down.

    .. math::
        r_t &= \sigma(W_r u_t + b_r) &\text{recurrence} \\
        i_t &= \sigma(W_i u_t + b_i) &\text{input} \\
        a_t &= \sigma(\Lambda)^{8 r_t} &\text{decay} \\
        h_t &= a_t \odot h_{t-1} + \sqrt{1 - a_t^2} \odot (i_t \odot u_t)

    u_t = W_x x_t, which is x_t itself where both sizes are equal. Griffin has a
    :class:`elman.layers.CausalConv1d` of width 4, one filter for each feature, below it.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        slowest: the largest decay at first, with r_t = 1; the smallest is 0.9.
        bias: whether there are b_r and b_i.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); ``linear_hh`` stacked r, i.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> window = elman.layers.CausalConv1d(5, 5, kernel_size=4, groups=5)
        >>> layer = elman.Stack(window, elman.Recurrent(elman.cells.RGLRU(5, 5)))
        >>> layer(torch.randn(2, 7, 5))[0].shape
        torch.Size([2, 7, 5])

    References:
        S. De et al., "Griffin: mixing gated linear recurrences with local attention for efficient
        language models", 2024.
    """

    states = ("h",)
    retention = "decay"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        slowest: float = 0.999,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input: nn.Module = nn.Identity()
        if input_size != hidden_size:
            self.input = nn.Linear(input_size, hidden_size, bias=False, **factory)
        self.gates = nn.Linear(hidden_size, 2 * hidden_size, bias, **factory)
        decay = torch.empty(hidden_size, **factory).uniform_(0.9, slowest)
        self.decay = nn.Parameter(torch.logit(decay ** (1 / SHARPNESS)))

    def affine(self, x: Tensor) -> tuple[Tensor, ...]:
        u = self.input(x)
        return self.gates(u), u

    def coefficients(self, gates: Tensor, u: Tensor) -> tuple[Any, ...]:
        r, i = torch.sigmoid(gates).chunk(2, -1)
        log_a = -SHARPNESS * r * F.softplus(-self.decay)
        # 1 - a^2, which is never 0: the gradient of a square root at 0 is infinite
        room = -torch.expm1(2 * log_a)
        room = room.clamp_min(torch.finfo(room.dtype).tiny)
        return torch.exp(log_a), torch.sqrt(room) * i * u
