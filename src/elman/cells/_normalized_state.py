"""A wrapper that normalizes states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor, nn

from elman.cells._base import Cell
from elman.cells._wrapper import Wrapper, check_states


@final
class NormalizedState(Wrapper):
    r"""Layer norm of states after each step, with a gain and a bias: put out, and fed back, so.

    .. math:: s_t = LN(\tilde s_t; \alpha, \beta) \qquad \tilde s_t = cell(x_t, s_{t-1})

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on.
        states: the names of the states that are normalized; the first, which is the output, if
            None.
        eps: what is added to the variance.

    Shapes: as the wrapped cell.

    Raises:
        ConfigError: an unknown state.
        DtypeError: no cell.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.NormalizedState(elman.cells.GRU(3, 5)))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> bool(output.mean(-1).abs().max() < 1e-6)
        True

    References:
        J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016.
    """

    def __init__(self, cell: Cell, states: Sequence[str] | None = None, eps: float = 1e-5) -> None:
        super().__init__(cell)
        names = cell.states[:1] if states is None else check_states(cell, states)
        sizes = dict(zip(cell.states, cell.state_sizes, strict=True))
        like = cell.initial_state(1)[0]
        self.norms = nn.ModuleList(
            nn.LayerNorm(sizes[name], eps, device=like.device, dtype=like.dtype) for name in names
        )
        self.normalized = names

    def step(self, inp: Any, state: Any) -> Any:
        new = self.cell.step(inp, state)
        norms: dict[str, Any] = dict(zip(self.normalized, self.norms, strict=True))
        each: list[Tensor] = [
            norms[name](s) if name in norms else s for name, s in zip(self.states, new, strict=True)
        ]
        return self.State(*each)

    def extra_repr(self) -> str:
        return ", ".join(self.normalized)
