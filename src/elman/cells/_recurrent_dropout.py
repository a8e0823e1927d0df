"""A wrapper that drops units of the state on their way into the next step."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from elman._errors import ConfigError
from elman.cells._base import Cell, PointwiseCell
from elman.cells._normalized_gates import NormalizedGates
from elman.cells._wrapper import Wrapper, check_rate, mask


@final
class RecurrentDropout(Wrapper):
    r"""Dropout of what goes from one step to the next: one mask for all steps of a sequence.

    .. math::
        s_t = cell(x_t, m \odot h_{t-1}) \qquad m_i \sim Bernoulli(1 - rate) / (1 - rate)

    The mask meets the state where W_hh multiplies it. Where a `PointwiseCell` also uses its first
    state elementwise, as a GRU does, it does so without the mask. Any other cell, whose products
    are its own, steps from the masked state altogether: choose another wrapper for a cell that
    carries its first state along, since kept units would grow by 1 / (1 - rate) at each step.

    Each row has a mask of its own, which is drawn once a call and outlasts a reset; a single step
    (``layer.step``) is a call. In eval mode nothing is dropped.

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on. Other wrappers but
            `NormalizedGates` go around this one.
        rate: the probability that a unit is dropped.

    Shapes: as the wrapped cell; ``project`` takes x with time first.

    Raises:
        ConfigError: a rate below 0 or not below 1, or a wrapper that goes around this one.
        DtypeError: no cell, or no number.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.RecurrentDropout(elman.cells.GRU(3, 5), 0.25)
        >>> output, state = elman.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent
        neural networks", NeurIPS 2016.
    """

    def __init__(self, cell: Cell, rate: float = 0.25) -> None:
        super().__init__(cell)
        if isinstance(cell, Wrapper) and not isinstance(cell, NormalizedGates):
            name = type(cell).__name__
            raise ConfigError(
                f"RecurrentDropout must stand inside of {name}, got it outside: use "
                f"{name}(RecurrentDropout(cell, ...), ...)"
            )
        self.rate = check_rate(rate)
        self._at_product = isinstance(cell, NormalizedGates) or (
            isinstance(cell, PointwiseCell) and type(cell).step is PointwiseCell.step
        )

    @property
    def _draws(self) -> bool:
        return self.training and self.rate > 0

    def project(self, x: Tensor) -> Any:
        projected = self.cell.project(x)
        if not self._draws:
            return projected
        rows = x.shape[1:-1] if x.dim() > 2 else x.shape[:-1]
        kept = ~mask(self.rate, *rows, self.output_size, like=x)
        scaled = kept.to(x.dtype) / (1 - self.rate)
        return projected, scaled.expand(*x.shape[:-1], -1)

    def step(self, inp: Any, state: Any) -> Any:
        if not self._draws:
            return self.cell.step(inp, state)
        inp, kept = inp
        cell: Any = self.cell
        h = kept * state[0]
        if self._at_product:
            return cell.combine(inp, cell.project_state(h), state)
        return cell.step(inp, self.State(h, *state[1:]))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
