"""A wrapper whose initial state is learned."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import nn

from elman.cells._base import Cell
from elman.cells._wrapper import Wrapper


@final
class LearnedState(Wrapper):
    r"""The initial state is a parameter, zeros at first, and the same for every row.

    .. math:: s_0 = \theta

    A sequence starts from it where no state is handed in, and a reset restarts from it.
    ``Recurrent(cell, learn_initial_state=True)`` keeps one in the layer instead, which goes first.

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on.

    Shapes: as the wrapped cell.

    Raises:
        DtypeError: no cell.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.LearnedState(elman.cells.GRU(3, 5)))
        >>> layer(torch.randn(2, 7, 3))[0].sum().backward()
        >>> layer.cell.initial["h"].grad.shape
        torch.Size([5])

    References:
        M. L. Forcada and R. C. Carrasco, "Learning the initial state of a second-order recurrent
        neural network during regular-language inference", Neural Computation 7, 1995.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        zeros = cell.initial_state(1)._asdict()
        self.initial = nn.ParameterDict(
            {name: nn.Parameter(s[0].detach().clone()) for name, s in zeros.items()}
        )

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Any:
        """The learned state, (batch, size) for each state."""
        each = (self.initial[name].to(device, dtype) for name in self.states)
        return self.State(*(s.expand(batch_size, -1) for s in each))
