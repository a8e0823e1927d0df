"""A wrapper that clips states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

from elman._errors import ConfigError
from elman.cells._base import Cell
from elman.cells._wrapper import Wrapper, check_states


@final
class ClippedState(Wrapper):
    r"""States are clipped after each step, so that none grows without bound.

    .. math:: s_t = \min(\max(\tilde s_t, -bound), bound) \qquad \tilde s_t = cell(x_t, s_{t-1})

    Where the output is computed from another state, as an LSTM's h_t from c_t, it is of that state
    before it was clipped; the next step begins with the clipped one.

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on.
        bound: of the absolute value.
        states: the names of the states that are clipped; all of them if None.

    Shapes: as the wrapped cell.

    Raises:
        ConfigError: a bound that is not positive, or an unknown state.
        DtypeError: no cell.

    Example:
        >>> import torch, elman
        >>> cell = elman.cells.ClippedState(elman.cells.LSTM(3, 5), 0.01, states=("c",))
        >>> output, state = elman.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> bool(state.c.abs().max() <= 0.01)
        True

    References:
        H. Sak, A. Senior and F. Beaufays, "Long short-term memory recurrent neural network
        architectures for large scale acoustic modeling", Interspeech 2014.
    """

    def __init__(self, cell: Cell, bound: float, states: Sequence[str] | None = None) -> None:
        super().__init__(cell)
        if not 0 < bound < math.inf:
            raise ConfigError(f"bound must be positive and finite, got {bound}")
        self.bound = float(bound)
        self.clipped = cell.states if states is None else check_states(cell, states)

    def step(self, inp: Any, state: Any) -> Any:
        new = self.cell.step(inp, state)
        pairs = zip(self.states, new, strict=True)
        b = self.bound
        return self.State(*(s.clamp(-b, b) if name in self.clipped else s for name, s in pairs))

    def extra_repr(self) -> str:
        return f"{self.bound}, {', '.join(self.clipped)}"
