"""What exported code takes: flash, RAM, and operations a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from elman.data import Vocabulary
from elman.exporting._c_arrays import Array
from elman.exporting._nodes import (
    ArrayNode,
    Map,
    MatrixProduct,
    Reduction,
    StepGraph,
    WeightProduct,
)

_WORDS = """
sigmoid tanh exp expm1 log log1p log2 log10 exp2 sqrt rsqrt sin cos tan asin acos atan sinh cosh
asinh acosh atanh erf erfc pow fmod atan2 hypot lgamma
"""
FUNCTIONS = frozenset(_WORDS.split())


class Sizes(NamedTuple):
    """What a file takes.

    Attributes:
        weights: bytes of constants.
        vocabulary: bytes of the table of tokens, with 4-byte addresses.
        state: bytes of a stream.
        stack: bytes of the arrays of a step.
        multiply_adds: of the matrix products of a step.
        functions: exp, tanh and the like, of a step.
        others: additions, products and the like, number by number.
        code: bytes of the machine code by a compiler for this machine; None where there is none.
    """

    weights: int
    vocabulary: int
    state: int
    stack: int
    multiply_adds: int
    functions: int
    others: int
    code: int | None = None

    @property
    def flash(self) -> int:
        """Constants, and the code where its size is known."""
        return self.weights + self.vocabulary + (self.code or 0)

    @property
    def operations(self) -> int:
        """All that a step computes, a multiply-add as one."""
        return self.multiply_adds + self.functions + self.others

    @property
    def ram(self) -> int:
        """A stream, and the arrays of a step."""
        return self.state + self.stack


def count(
    graph: StepGraph, arrays: Iterable[Array], stack: int, vocabulary: Vocabulary | None
) -> Sizes:
    """What the code of a graph takes."""
    words = 0
    if vocabulary is not None:
        words = sum(len(token.encode()) + 1 + 4 + 4 for token in vocabulary.tokens)
    return Sizes(
        weights=sum(array.bytes for array in arrays),
        vocabulary=words,
        state=sum(4 * state.size for state in graph.states),
        stack=stack,
        multiply_adds=sum(map(_multiply_adds, graph.nodes)),
        functions=sum(n.size for n in graph.nodes if isinstance(n, Map) and n.op in FUNCTIONS),
        others=sum(map(_others, graph.nodes)),
    )


def _multiply_adds(node: ArrayNode) -> int:
    match node:
        case WeightProduct():
            rows, columns = node.matrix.shape
            return int(rows * columns)
        case MatrixProduct():
            return node.size * node.left.shape[1]
    return 0


def _others(node: ArrayNode) -> int:
    match node:
        case Map() if node.op != "copy" and node.op not in FUNCTIONS:
            return node.size
        case Reduction():
            return node.source.size
    return 0
