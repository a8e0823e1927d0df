"""The minion recurrent unit without gates."""

from __future__ import annotations

from typing import Any, final

from torch import tanh

from elman.cells._base import PointwiseCell


@final
class MiRU2(PointwiseCell):
    r"""Minion recurrent unit 2: a GRU whose two gates are constants.

    .. math::
        n_t &= \tanh(W_{in} x_t + b_{in} + \beta (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= \lambda h_{t-1} + (1 - \lambda) n_t

    Args:
        input_size: features of x_t.
        hidden_size: units of h_t.
        update: lambda, how much of the old state is retained.
        reset: beta, how much of the old state n sees.

    Shapes: x_t (batch, input_size), h (batch, hidden_size).

    Raises:
        ConfigError: a size below one.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.MiRU2(3, 5, update=0.9)
        >>> output, state = elman.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        A. M. Zyarah and D. Kudithipudi, "Minion gated recurrent unit for continual learning",
        Neurocomputing 2026.
    """

    gates, states = ("n",), ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        update: float = 0.5,
        reset: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.update, self.reset = update, reset

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        n = tanh(inp.n + self.reset * rec.n)
        return self.State(h=n + self.update * (state.h - n))
