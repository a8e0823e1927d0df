"""The minimal gated recurrent unit that can be computed in parallel."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from elman.cells._linear import LinearCell


@final
class MinGRU(LinearCell):
    r"""minGRU: a GRU whose gate and candidate see the input alone.

    .. math::
        z_t &= \sigma(W_z x_t + b_z) &\text{update} \\
        \tilde h_t &= W_h x_t + b_h \\
        h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot \tilde h_t

    The paper's form in log space, for positive candidates, is not needed here: the scan of elman
    never divides by a product of gates.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        bias: whether there are b_z and b_h.

    Shapes: x_t (batch, input_size), h (batch, hidden_size); ``input`` stacked z, h.

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> output, state = elman.Recurrent(elman.cells.MinGRU(3, 5))(torch.randn(2, 7, 3))
        >>> torch.equal(output[:, -1], state.h)
        True

    References:
        L. Feng et al., "Were RNNs all we needed?", 2024.
    """

    states = ("h",)
    retention = "retain"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size, bias, **factory)

    def affine(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def coefficients(self, gates: Tensor) -> tuple[Any, ...]:
        z, candidate = gates.chunk(2, -1)
        z = torch.sigmoid(z)
        return 1 - z, z * candidate
