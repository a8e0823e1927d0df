"""A step as a graph of arrays of fixed shapes, which knows no language."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

Kind = Literal["float", "int"]
"""What a number is; booleans are 0 and 1."""

Number = float | int | bool


@dataclass(eq=False, kw_only=True)
class ArrayNode:
    """An array.

    Attributes:
        shape: its sizes; one row, whose size of 1 stays.
        kind: what its numbers are.
        line: the line of Python that computed it, for a comment.
    """

    shape: tuple[int, ...]
    kind: Kind = "float"
    line: str = ""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def inputs(self) -> tuple[ArrayNode, ...]:
        """The arrays that it is computed of."""
        return ()


@dataclass(eq=False, kw_only=True)
class Input(ArrayNode):
    """What the caller hands to a step."""


@dataclass(eq=False, kw_only=True)
class StateBefore(ArrayNode):
    """A state before the step, by its name."""

    name: str


@dataclass(eq=False, kw_only=True)
class ConstantArray(ArrayNode):
    """Numbers that are the same at every step."""

    value: Tensor
    name: str = ""


@dataclass(eq=False, kw_only=True)
class View(ArrayNode):
    """Some numbers of an array, where they lie: nothing is computed."""

    base: ArrayNode
    offset: int
    strides: tuple[int, ...]

    @property
    def inputs(self) -> tuple[ArrayNode, ...]:
        return (self.base,)


@dataclass(eq=False, kw_only=True)
class Map(ArrayNode):
    """An operation number by number; an operand of another shape is broadcast."""

    op: str
    operands: tuple[ArrayNode | Number, ...]

    @property
    def inputs(self) -> tuple[ArrayNode, ...]:
        return tuple(o for o in self.operands if isinstance(o, ArrayNode))


@dataclass(eq=False, kw_only=True)
class WeightProduct(ArrayNode):
    """``source @ matrix + bias`` for one row of numbers."""

    source: ArrayNode
    matrix: ConstantArray
    bias: ConstantArray | None = None

    @property
    def inputs(self) -> tuple[ArrayNode, ...]:
        return (self.source, self.matrix, *([self.bias] if self.bias else []))


@dataclass(eq=False, kw_only=True)
class MatrixProduct(ArrayNode):
    """``left @ right`` of two arrays that both change, (M, K) and (K, N)."""

    left: View
    right: View

    @property
    def inputs(self) -> tuple[ArrayNode, ...]:
        return (self.left, self.right)


@dataclass(eq=False, kw_only=True)
class Reduction(ArrayNode):
    """A sum, or the largest or smallest number, over some dimensions of ``source``."""

    op: Literal["sum", "max", "min"]
    source: View
    over: tuple[int, ...]

    @property
    def inputs(self) -> tuple[ArrayNode, ...]:
        return (self.source,)


@dataclass(eq=False, kw_only=True)
class Lookup(ArrayNode):
    """The row of a table whose number is ``index``."""

    table: ConstantArray
    index: ArrayNode

    @property
    def inputs(self) -> tuple[ArrayNode, ...]:
        return (self.table, self.index)


@dataclass(eq=False, kw_only=True)
class Join(ArrayNode):
    """Arrays one after the other along a dimension."""

    parts: tuple[View, ...]
    dim: int

    @property
    def inputs(self) -> tuple[ArrayNode, ...]:
        return self.parts


@dataclass
class StepGraph:
    """One step.

    Attributes:
        input: what comes in.
        states: the states before the step, in order.
        output: what goes out.
        after: the states after the step, in the order of ``states``.
    """

    input: Input
    states: tuple[StateBefore, ...]
    output: ArrayNode
    after: tuple[ArrayNode, ...]
    nodes: tuple[ArrayNode, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = tuple(_in_order((self.output, *self.after)))

    @property
    def constants(self) -> list[ConstantArray]:
        return [node for node in self.nodes if isinstance(node, ConstantArray)]


def _in_order(results: Sequence[ArrayNode]) -> Iterator[ArrayNode]:
    """Every node that the results need, after those that it needs itself."""
    done: set[int] = set()
    open_nodes: list[tuple[ArrayNode, bool]] = [(node, False) for node in reversed(results)]
    while open_nodes:
        node, ready = open_nodes.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            yield node
        else:
            open_nodes.append((node, True))
            open_nodes += [(n, False) for n in reversed(node.inputs) if id(n) not in done]


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of an array whose numbers lie one after the other."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides))[: len(shape)] if shape else ()


def as_view(node: ArrayNode) -> View:
    """The array where it lies."""
    if isinstance(node, View):
        return node
    return View(
        shape=node.shape,
        kind=node.kind,
        line=node.line,
        base=node,
        offset=0,
        strides=contiguous_strides(node.shape),
    )


def lies_in_order(view: View) -> bool:
    """Whether its numbers lie one after the other."""
    pairs = zip(view.shape, view.strides, contiguous_strides(view.shape), strict=True)
    return all(size == 1 or stride == usual for size, stride, usual in pairs)


def is_whole(view: View) -> bool:
    """Whether it is all of its base, in order."""
    return view.offset == 0 and view.size == view.base.size and lies_in_order(view)


def squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """The sizes that are not 1: a loop for each."""
    return tuple(size for size in shape if size != 1)
