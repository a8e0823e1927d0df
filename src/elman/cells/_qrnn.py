"""The quasi-recurrent network's pooling."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from elman._errors import ConfigError
from elman.cells._linear import LinearCell

POOLINGS = ("f", "fo")


@final
class QRNN(LinearCell):
    r"""Quasi-recurrent neural network: gates of the input alone pool its features over time.

    .. math::
        z_t &= \tanh(W_z x_t + b_z) \\
        f_t &= \sigma(W_f x_t + b_f) &\text{forget} \\
        o_t &= \sigma(W_o x_t + b_o) &\text{output} \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot z_t \\
        h_t &= o_t \odot c_t

    With ``pooling="f"`` there is no o, and h_t = c_t. The paper's filters over several time steps
    are those of :class:`elman.layers.CausalConv1d` below this cell.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t and c_t.
        pooling: "fo" or "f".
        bias: whether there are b_z, b_f and b_o.

    Shapes: x_t (batch, input_size), h and c (batch, hidden_size); ``input`` stacked z, f, o.

    Raises:
        ConfigError: another pooling, or a size below one.

    Example:
        >>> import torch, elman
        >>> window = elman.layers.CausalConv1d(3, 8, kernel_size=2)
        >>> layer = elman.Stack(window, elman.Recurrent(elman.cells.QRNN(8, 5)))
        >>> output, (last_inputs, state) = layer(torch.randn(2, 7, 3))
        >>> output.shape, last_inputs.shape, state.c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 1, 3]), torch.Size([2, 5]))

    References:
        J. Bradbury et al., "Quasi-recurrent neural networks", ICLR 2017.
    """

    states = ("h", "c")
    retention = "forget"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        pooling: str = "fo",
        bias: bool = True,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if pooling not in POOLINGS:
            raise ConfigError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        self.pooling, gates = pooling, 1 + len(pooling)
        self.input = nn.Linear(input_size, gates * hidden_size, bias, **factory)

    def affine(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def coefficients(self, gates: Tensor) -> tuple[Any, ...]:
        z, f, *o = gates.chunk(1 + len(self.pooling), -1)
        output = torch.sigmoid(o[0]) if o else torch.ones_like(f)
        return torch.sigmoid(f), torch.sigmoid(-f) * torch.tanh(z), output

    def output(self, c: Tensor, o: Tensor) -> Tensor:
        self.watch(output=o)
        return o * c
