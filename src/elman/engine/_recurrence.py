"""What engines take and give: a recurrence, and a plan of how to run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.func import functional_call

from elman.cells import Cell, Weights
from elman.engine._batch_first import project
from elman.scan import Observation, Observer, Step, mask, scan


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
        projection: what the cell projects, once :meth:`projected` has computed it. A copy with
            another x or cell starts without.
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
    projection: Any = field(default=None, init=False, repr=False)
    _drawn: Mapping[str, Tensor] | None = field(default=None, init=False, repr=False)

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
        if self.projection is None:
            active = self.active
            x = self.x  # a clone lies as x does; masked_fill would put time first
            x = x if active is None else x.clone().masked_fill_(~active[..., None], 0)
            self.projection = project(self.project, x)
        return self.projection

    @property
    def drawn(self) -> Mapping[str, Tensor]:
        """Tensors that stand in for the cell's own, by name; drawn once, whichever engine asks."""
        if self._drawn is None:
            # Most cells have no modules, and to walk through them takes microseconds.
            self._drawn = _drawn(self.cell) if self.cell._modules else self.cell.draw()
        return self._drawn

    @drawn.setter
    def drawn(self, drawn: Mapping[str, Tensor]) -> None:
        self._drawn = drawn

    @property
    def project(self) -> Callable[[Tensor], Any]:
        """The cell's own method, with what stands in for its tensors."""
        return self._with_substitutes("project")

    @property
    def step(self) -> Callable[[Any, Any], Any]:
        """The cell's own method, with what stands in for its tensors."""
        return self._with_substitutes("step")

    def scan(self, step: Step | None = None) -> tuple[Float[Tensor, "T B H"], Any]:
        """The reference: outputs and the final state; ``step`` stands in for the cell's own."""
        return scan(
            step or self.step,
            self.projected(),
            self.state,
            active=self.active,
            reset=self.reset,
            start=self.start,
            reverse=self.reverse,
            observe=self.observe,
        )

    def notify(self, watched: dict[str, Tensor], final: Any) -> None:
        """Calls the observer as the scan does: at padding a state stays what it was.

        Args:
            watched: the watched values, and the states, of all steps by name.
            final: the states after the last step.
        """
        if (active := self.active) is not None:
            for name, last, first in zip(self.cell.states, final, self.state, strict=True):
                resting = first if self.reverse else last
                watched[name] = torch.where(active[..., None], watched[name], resting)
        if isinstance(self.observe, Observation):
            self.observe.record(watched)
            return
        assert self.observe is not None
        for t in range(len(self.x))[:: -1 if self.reverse else 1]:
            self.observe(t, {name: sequence[t] for name, sequence in watched.items()})

    def _with_substitutes(self, name: str) -> Callable[..., Any]:
        method: Any = getattr(self.cell, name)
        if self.weights is not None:
            return partial(method, weights=self.weights)
        if not self.drawn:
            return method  # type: ignore[no-any-return]
        tensors = {f"cell.{name}": t for name, t in self.drawn.items()}
        bound = _Bound(self.cell, name)
        return lambda *args: functional_call(bound, tensors, args, tie_weights=False)


def _drawn(cell: Cell) -> dict[str, Tensor]:
    """What a cell and all cells within it draw, by its path from the cell."""
    parts = [(path, part) for path, part in cell.named_modules() if isinstance(part, Cell)]
    return {
        f"{path}.{name}" if path else name: t
        for path, part in parts
        for name, t in part.draw().items()
    }


class _Bound(nn.Module):
    """A method of a cell as a module, so that it can be called with other tensors."""

    def __init__(self, cell: Cell, name: str) -> None:
        super().__init__()
        self.cell, self.name = cell, name

    def forward(self, *args: Any) -> Any:
        return getattr(self.cell, self.name)(*args)


@dataclass(eq=False)
class Plan(ABC):
    """How an engine will run one recurrence.

    An engine makes one only where it can run, with all that :meth:`run` needs: what was not
    planned cannot be run, and nothing is looked up twice.

    Attributes:
        recurrence: what it runs.
        limits: what the engine cannot do that the reference can, as a sentence; "" for nothing.
    """

    limits: ClassVar[str] = ""

    recurrence: Recurrence

    @abstractmethod
    def run(self) -> tuple[Float[Tensor, "T B H"], Any]:
        """Outputs (time, batch, size) and the final state."""

    def listing(self) -> str:
        """The text of the program that it runs; "" where there is none."""
        return ""
