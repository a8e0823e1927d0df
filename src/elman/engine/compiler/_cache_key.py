"""What a program depends on beside its tensors' values, so that a change is noticed.

A cell's step is followed through the functions that it can call. What they read around them is read
again at every call and compared; where that cannot be known, the reason says what it is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np
from torch import Tensor, nn

from elman.cells import Cell
from elman.engine.compiler._bytecode import walk_cell
from elman.engine.compiler._readers import Leaves

AFFINE = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def own_tensors(module: nn.Module, apart: Sequence[str] = ()) -> list[tuple[str, Tensor]]:
    """A module's parameters and buffers by name, but for those ``apart``."""
    own: list[tuple[str, Tensor]] = [
        (name, p) for name, p in module._parameters.items() if p is not None and name not in apart
    ]
    if module._buffers:
        buffers = module._buffers.items()
        own += [(name, b) for name, b in buffers if b is not None and name not in apart]
    if module._modules:
        for name, child in module._modules.items():
            if child is not None:
                own += [(f"{name}.{inner}", tensor) for inner, tensor in own_tensors(child)]
    return own


class Dependence:
    """What the program of one cell depends on, as it was when this was made.

    Args:
        cell: the cell; it is not kept.
        apart: its own tensors that do not count.
        kinds: the NamedTuples that its ``project`` gives.
        freed: called when the cell is freed.

    Attributes:
        key: it all, to be compared with that of other cells.
        reads_around: whether the step runs code that is not of elman or torch, which may read what
            lies outside of the cell.

    Raises:
        Untraceable: naming what the step reads, if its changes could not be noticed.
    """

    def __init__(
        self,
        cell: Cell,
        apart: Sequence[str] = (),
        kinds: Sequence[type] = (),
        freed: Callable[[Any], Any] | None = None,
    ) -> None:
        self._owner, self._apart = weakref.ref(cell, freed), apart
        walk = walk_cell(cell, kinds)
        self._read, self.reads_around = walk.reader, walk.reads_around
        self._leaves: Leaves = []
        self._read(cell, self._leaves)
        self._shapes = self._shapes_of(cell)
        self.key = (_comparable(self._leaves), tuple(self._shapes))

    def holds(self, cell: Cell) -> bool:
        """Whether this is the cell, and nothing has changed since."""
        if self._owner() is not cell:
            return False
        leaves: Leaves = []
        try:
            self._read(cell, leaves)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            return False  # something of another type has come in its place
        return (
            len(leaves) == len(self._leaves)
            # Identity is quick, and strict: 1, 1.0 and True are equal, and -0.0 equals 0.0. For an
            # equal number that is another object the step is walked again, and not traced.
            and all(map(is_, leaves, self._leaves))
            and self._shapes_of(cell) == self._shapes
        )

    def _shapes_of(self, cell: Cell) -> list[Any]:
        return [(name, t.shape, t.dtype) for name, t in own_tensors(cell, self._apart)]


def _comparable(leaves: Leaves) -> tuple[Any, ...]:
    """Leaves by their types and bits; and objects by which of them are the same, not by who."""
    # A function made twice of the same code is as good as one. So objects are numbered in the order
    # in which they come, and their code is a leaf beside them.
    order: dict[Any, int] = {}

    def of(leaf: Any) -> Any:
        if isinstance(leaf, weakref.ref):
            return order.setdefault(leaf, len(order))
        if isinstance(leaf, (float, np.floating)):
            return type(leaf), float(leaf).hex()  # tells -0.0 from 0.0
        if isinstance(leaf, complex):
            return type(leaf), leaf.real.hex(), leaf.imag.hex()
        if type(leaf) in (tuple, frozenset):
            return type(leaf), type(leaf)(map(of, leaf))
        return type(leaf), leaf

    return tuple(map(of, leaves))
