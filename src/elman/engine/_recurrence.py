"""What an engine is asked to compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from elman.cells import Cell, Weights
from elman.scan import Observer, mask


@dataclass(eq=False)  # not frozen, which takes twice as long, at every call
class Recurrence:
    """One cell over one batch of sequences, time first.

    Attributes:
        cell: the cell; its own tensors are used unless ``weights`` stand in for them.
        x: the input, (time, batch, input_size), or (batch, input_size) for a single step.
        state: the state before the first step, ``cell.State`` of (batch, size).
        weights: the cell's affine maps where a layer keeps them under other names.
        lengths: (batch,) integers, the real steps of each row; all of them if None.
        reset: (time, batch) boolean; see :func:`elman.scan.scan`.
        start: the state after a reset; zeros if None.
        reverse: from the last step to the first.
        observe: called after each step with every watched value and state.
        layer: whose it is, and ``part`` which part of it, for :func:`elman.explain`.
        found: what was found out when an engine was asked whether it can run, for when one does.
    """

    cell: Cell
    x: Float[Tensor, "*T B I"]
    state: Any
    weights: Weights | None = None
    lengths: Integer[Tensor, "B"] | None = None
    reset: Bool[Tensor, "T B"] | None = None
    start: Any = None
    reverse: bool = False
    observe: Observer | None = None
    layer: nn.Module | None = None
    part: str = ""
    found: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def active(self) -> Bool[Tensor, "T B"] | None:
        """(time, batch): True at real steps; None when all are."""
        if self.lengths is None:
            return None
        return mask(self.lengths, self.x.shape[0], device=self.x.device).T

    def projected(self) -> Any:
        """What the cell projects, once, whichever engine asks: its masks are drawn only here.

        Padding is zeros, so that not even a NaN there reaches a weight's gradient.
        """
        if "projected" not in self.found:
            active = self.active
            x = self.x if active is None else self.x.masked_fill(~active[..., None], 0)
            self.found["projected"] = self.project(x)
        return self.found["projected"]

    @property
    def project(self) -> Callable[[Tensor], Any]:
        """The cell's, with the weights that stand in for its own."""
        return partial(self.cell.project, **self._given)

    @property
    def step(self) -> Callable[[Any, Any], Any]:
        """The cell's, with the weights that stand in for its own."""
        return partial(self.cell.step, **self._given)

    @property
    def _given(self) -> dict[str, Any]:
        return {} if self.weights is None else {"weights": self.weights}
