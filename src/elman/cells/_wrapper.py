"""What cells around other cells have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elman._errors import ConfigError, DtypeError, nearest
from elman.cells._base import Cell


class Wrapper(Cell):
    """A cell around another one, whose states, sizes and first state it has unless it says more.

    A subclass changes what goes in or comes out. What it needs beside the inner cell's projection,
    such as masks, :meth:`project` makes for the whole sequence at once, so that every engine
    agrees, and returns in a tuple with that projection.

    Args:
        cell: the cell to wrap; it belongs to the wrapper from then on.

    Raises:
        DtypeError: it is no cell.

    Example:
        >>> import torch, elman
        >>> class Halved(elman.cells.Wrapper):
        ...     def step(self, inp, state):
        ...         return self.State(*(s / 2 for s in self.cell.step(inp, state)))
        >>> output, state = elman.Recurrent(Halved(elman.cells.GRU(3, 5)))(torch.randn(2, 7, 3))
        >>> output.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, cell: Cell) -> None:
        if not isinstance(cell, Cell):
            raise DtypeError(f"expected an elman.cells.Cell, got {type(cell).__name__}")
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell = cell
        self.states = cell.states  # type: ignore[misc]
        self.retention, self.memory_gate = cell.retention, cell.memory_gate  # type: ignore[misc]

    @property
    def State(self) -> Any:  # noqa: N802 - not kept: types do not pickle
        """The inner cell's."""
        return self.cell.State

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.cell.state_sizes

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Any:
        """The inner cell's."""
        return self.cell.initial_state(batch_size, device=device, dtype=dtype)

    def project(self, x: Tensor) -> Any:
        return self.cell.project(x)

    def step(self, inp: Any, state: Any) -> Any:
        return self.cell.step(inp, state)

    def extra_repr(self) -> str:
        return ""


def mask(rate: float, *size: int, like: Tensor) -> Tensor:
    """Booleans of this size, each True with probability ``rate``."""
    # The dtype is fixed, so that the same seed gives the same mask in every precision.
    return torch.rand(size, device=like.device, dtype=torch.float32) < rate


def check_rate(rate: Any, subject: str = "rate") -> float:
    """``rate`` as a number from 0 to below 1, or a clear error."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise DtypeError(f"{subject} must be a number, got {type(rate).__name__}")
    if not 0 <= rate < 1:
        raise ConfigError(f"{subject} must be at least 0 and below 1, got {rate}")
    return float(rate)


def check_states(cell: Cell, states: Sequence[str]) -> tuple[str, ...]:
    """``states`` if they are names of states of the cell, or a clear error."""
    if isinstance(states, str):
        raise DtypeError(f"states must be a tuple of names, got {states!r}: use ({states!r},)")
    for name in states:
        if name not in cell.states:
            raise ConfigError(f"unknown state {name!r}: {nearest(str(name), cell.states)}")
    return tuple(states)


def rates_by_state(cell: Cell, rate: float | Mapping[str, float]) -> tuple[float, ...]:
    """The rate of each state of the cell: one for all, or by name and 0 for the others."""
    if not isinstance(rate, Mapping):
        return (check_rate(rate),) * len(cell.states)
    check_states(cell, tuple(rate))
    return tuple(check_rate(rate.get(name, 0.0), f"rate of {name!r}") for name in cell.states)
