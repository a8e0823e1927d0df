"""The simple recurrent unit."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from elman.cells._linear import LinearCell


@final
class SRU(LinearCell):
    r"""Simple recurrent unit: a light recurrence with a highway around it.

    .. math::
        f_t &= \sigma(W_f x_t + b_f) &\text{forget} \\
        r_t &= \sigma(W_r x_t + b_r) &\text{reset} \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot W x_t \\
        h_t &= r_t \odot \tanh(c_t) + (1 - r_t) \odot W_x x_t

    W_x is the identity where both sizes are equal. This is the form whose gates see the input
    alone, of the paper's first version. In the later one they also see c, by two vectors, so that
    it is elementwise, but neither linear nor parallel in time.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.
        bias: whether there are b_f and b_r.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); ``weight_ih`` stacked candidate,
    f, r, and W_x where the sizes differ.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.SRU(3, 5))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> output.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        T. Lei et al., "Simple recurrent units for highly parallelizable recurrence", EMNLP 2018
        (first version, 2017: "Training RNNs as fast as CNNs").
    """

    states = ("h", "c")
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
        maps = 3 if input_size == hidden_size else 4
        self.weight_ih = nn.Parameter(torch.empty(maps * hidden_size, input_size, **factory))
        zeros = torch.zeros(2 * hidden_size, **factory)
        self.bias_ih = nn.Parameter(zeros) if bias else None
        bound = (3 / input_size) ** 0.5  # so that what comes in keeps its variance
        nn.init.uniform_(self.weight_ih, -bound, bound)

    def affine(self, x: Tensor) -> tuple[Tensor, ...]:
        maps, size = nn.functional.linear(x, self.weight_ih), 3 * self.hidden_size
        return maps[..., :size], maps[..., size:] if len(self.weight_ih) > size else x

    def coefficients(self, gates: Tensor, skip: Tensor) -> tuple[Any, ...]:
        candidate, f, r = gates.chunk(3, -1)
        if self.bias_ih is not None:
            b_f, b_r = self.bias_ih.chunk(2)
            f, r = f + b_f, r + b_r
        around = torch.sigmoid(-r) * skip
        return torch.sigmoid(f), torch.sigmoid(-f) * candidate, torch.sigmoid(r), around

    def output(self, c: Tensor, r: Tensor, around: Tensor) -> Tensor:
        self.watch(reset=r)
        return r * torch.tanh(c) + around
