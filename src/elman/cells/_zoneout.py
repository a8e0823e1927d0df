"""A wrapper that keeps some units of the old state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from elman.cells._base import Cell
from elman.cells._wrapper import Wrapper, mask, rates_by_state


@final
class Zoneout(Wrapper):
    r"""At each step some units of the states, drawn anew, stay what they were.

    .. math::
        s_t = m_t \odot s_{t-1} + (1 - m_t) \odot \tilde s_t \qquad
        \tilde s_t = cell(x_t, s_{t-1}) \qquad m_t \sim Bernoulli(rate)

    In eval mode the expectation takes the place of the mask: rate s_{t-1} + (1 - rate) s~_t.

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on.
        rate: the probability that a unit stays, for all states, or by the name of the state (0 for
            those that are not named).

    Shapes: as the wrapped cell.

    Raises:
        ConfigError: a rate below 0 or not below 1, or an unknown state.
        DtypeError: no cell, or no number.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.Zoneout(elman.cells.LSTM(3, 5), {"h": 0.05, "c": 0.5})
        >>> output, state = elman.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])

    References:
        D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations",
        ICLR 2017.
    """

    def __init__(self, cell: Cell, rate: float | Mapping[str, float] = 0.1) -> None:
        super().__init__(cell)
        self.rates = rates_by_state(cell, rate)

    @property
    def _draws(self) -> bool:
        return self.training and any(self.rates)

    def project(self, x: Tensor) -> Any:
        projected = self.cell.project(x)
        if not self._draws:
            return projected
        pairs = zip(self.rates, self.state_sizes, strict=True)
        return projected, *(mask(r, *x.shape[:-1], n, like=x) for r, n in pairs if r)

    def step(self, inp: Any, state: Any) -> Any:
        if not self._draws:
            new = self.cell.step(inp, state)
            triples = zip(self.rates, state, new, strict=True)
            return self.State(*(n + r * (old - n) if r else n for r, old, n in triples))
        inp, *masks = inp
        new, stays = self.cell.step(inp, state), iter(masks)
        triples = zip(self.rates, state, new, strict=True)
        return self.State(*(torch.where(next(stays), old, n) if r else n for r, old, n in triples))

    def extra_repr(self) -> str:
        return ", ".join(f"{s}={r}" for s, r in zip(self.states, self.rates, strict=True))
