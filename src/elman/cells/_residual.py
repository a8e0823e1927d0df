"""A wrapper that adds the input to the output."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from elman._errors import ConfigError
from elman.cells._base import Cell, named_tuple
from elman.cells._wrapper import Wrapper


@final
class Residual(Wrapper):
    r"""The output is the cell's plus its input, or plus a projection of it.

    .. math:: output_t = h_t + x_t \quad \text{or} \quad h_t + W_s x_t

    The sum is a state of its own, the first, and is not fed back: the cell's recurrence stays what
    it was. `elman.Residual` does the same around any layer that puts out as many features as it
    takes.

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on.
        projection: whether there is a matrix W_s; only where the sizes differ if None.

    Shapes: x_t (batch, input_size), output (batch, cell.output_size).

    Raises:
        ConfigError: no projection where the sizes differ, or a state called "output" already.
        DtypeError: no cell.

    Example:
        >>> import torch, elman
        >>> layer = elman.Recurrent(elman.cells.Residual(elman.cells.GRU(3, 5)))
        >>> output, state = layer(torch.randn(2, 7, 3))
        >>> output.shape, state._fields
        (torch.Size([2, 7, 5]), ('output', 'h'))

    References:
        K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR
        2016.
    """

    def __init__(self, cell: Cell, projection: bool | None = None) -> None:
        super().__init__(cell)
        self.states = ("output", *cell.states)  # type: ignore[misc]
        named_tuple("State", self.states)  # says now if there is an "output" already
        same = cell.input_size == cell.output_size
        if projection is False and not same:
            raise ConfigError(
                f"without a projection, input_size must equal the output size {cell.output_size}, "
                f"got {cell.input_size}: use projection=True"
            )
        like = cell.initial_state(1)[0]
        self.shortcut: nn.Module = nn.Identity()
        if projection or not same:
            self.shortcut = nn.Linear(
                cell.input_size, cell.output_size, False, like.device, like.dtype
            )

    @property
    def State(self) -> Any:  # noqa: N802 - as for every wrapper
        """The output, and the inner cell's states."""
        return named_tuple("State", self.states)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.cell.output_size, *self.cell.state_sizes)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Any:
        """The inner cell's, and an output of zeros."""
        inner = self.cell.initial_state(batch_size, device=device, dtype=dtype)
        return self.State(torch.zeros_like(inner[0]), *inner)

    def project(self, x: Tensor) -> Any:
        return self.cell.project(x), self.shortcut(x)

    def step(self, inp: Any, state: Any) -> Any:
        inp, shortcut = inp
        new = self.cell.step(inp, self.cell.State(*state[1:]))
        return self.State(new[0] + shortcut, *new)
