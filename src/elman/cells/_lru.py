"""The linear recurrent unit."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman._errors import ConfigError
from elman.cells._linear import LinearCell


@final
class LRU(LinearCell):
    r"""Linear recurrent unit: complex states that turn and fade, each at a rate of its own.

    .. math::
        \lambda &= \exp(-e^{\nu} + i e^{\theta}) \\
        s_t &= \lambda \odot s_{t-1} + e^{\gamma} \odot B x_t \\
        h_t &= \mathrm{Re}(C s_t) + D x_t

    At first lambda is uniform on the ring between two moduli, and e^gamma = sqrt(1 - |lambda|^2),
    so that noise which comes in leaves a state of variance one.

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t, and complex units of s_t.
        min_modulus: of lambda at first.
        max_modulus: of lambda at first, below one.
        max_phase: the largest angle by which a state turns in one step, at first.

    Shapes: x_t (batch, input_size), h, re and im (batch, hidden_size), the parts of s; B stacked
    real, imaginary; C side by side real, minus imaginary.

    Raises:
        ConfigError: moduli or sizes out of range.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LRU(3, 5, min_modulus=0.9))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> output.shape, state.re.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))

    References:
        A. Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML 2023.
    """

    states = ("h", "re", "im")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        min_modulus: float = 0.0,
        max_modulus: float = 0.999,
        max_phase: float = 2 * math.pi,
        **factory: Any,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not 0 <= min_modulus < max_modulus < 1:
            raise ConfigError(
                "moduli must be 0 <= min_modulus < max_modulus < 1, got "
                f"{min_modulus} and {max_modulus}"
            )
        uniform = torch.rand(2, hidden_size, **factory)
        square = min_modulus**2 + uniform[0] * (max_modulus**2 - min_modulus**2)
        square = square.clamp_min(torch.finfo(square.dtype).tiny)  # of a modulus that has a log
        self.nu = nn.Parameter(torch.log(-0.5 * torch.log(square)))
        self.theta = nn.Parameter(torch.log(max_phase * (1 - uniform[1])))
        self.gamma = nn.Parameter(0.5 * torch.log1p(-square))

        def normal(rows: int, columns: int, std: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, **factory) * std)

        self.weight_b = normal(2 * hidden_size, input_size, (2 * input_size) ** -0.5)
        self.weight_c = normal(hidden_size, 2 * hidden_size, hidden_size**-0.5)
        self.weight_d = normal(hidden_size, input_size, input_size**-0.5)

    def affine(self, x: Tensor) -> tuple[Tensor, ...]:
        scale = torch.exp(self.gamma).repeat(2)[:, None]
        return F.linear(x, self.weight_b * scale), F.linear(x, self.weight_d)

    def coefficients(self, b: Tensor, skip: Tensor) -> tuple[Any, ...]:
        modulus, phase = torch.exp(-torch.exp(self.nu)), torch.exp(self.theta)
        a = modulus * torch.cos(phase), modulus * torch.sin(phase)
        return a, b.chunk(2, -1), skip

    def output(self, re: Tensor, im: Tensor, skip: Tensor) -> Tensor:
        return F.linear(torch.cat([re, im], -1), self.weight_c) + skip
