"""What an engine is asked to compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from elman.cells import Cell, Weights
from elman.data._batch import mask
from elman.scan import Observer


@dataclass(frozen=True)
class Recurrence:
    """One cell over one batch of sequences, time first.

    Attributes:
        cell: the cell; its own tensors are used unless ``weights`` stand in for them.
        x: the input, (time, batch, input_size).
        state: the state before the first step, ``cell.State`` of (batch, size).
        weights: the cell's affine maps where a layer keeps them under other names.
        lengths: (batch,) integers, the real steps of each row; all of them if None.
        reset: (time, batch) boolean; see :func:`elman.scan.scan`.
        start: the state after a reset; zeros if None.
        reverse: from the last step to the first.
        observe: called after each step with every watched value and state.
    """

    cell: Cell
    x: Tensor
    state: Any
    weights: Weights | None = None
    lengths: Tensor | None = None
    reset: Tensor | None = None
    start: Any = None
    reverse: bool = False
    observe: Observer | None = None

    @property
    def active(self) -> Tensor | None:
        """(time, batch): True at real steps; None when all are."""
        if self.lengths is None:
            return None
        return mask(self.lengths, self.x.shape[0]).T
