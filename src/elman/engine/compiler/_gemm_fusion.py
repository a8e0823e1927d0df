"""Where gradients meet matrices: which of them must lie side by side, so that one product does.

All matrices with one source multiply it at once, and their gradients are summed, and flow back to
the source, in one product too; for that the gradients of their gates (``z``) are neighbors.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from elman.engine.compiler._ir import Graph
from elman.engine.compiler._program import Block

Pair = tuple[int, Block]


class Term(NamedTuple):
    """A block's gradient gains ``gradient`` times ``source``."""

    gradient: int
    block: Block
    source: int


class Joint(NamedTuple):
    """Gradients, each with the block that it meets.

    Attributes:
        pairs: gradients and blocks.
        source: what the blocks multiplied; None if their gradients are summed elsewhere.
        to: the state to which all this flows back with the next step; "-" for none.
        inside: the product in which it flows back within the step; None for none.
    """

    pairs: list[Pair]
    source: int | None
    to: str = "-"
    inside: int | None = None

    def blocks_in(self, z: Sequence[int]) -> tuple[Block, ...]:
        """The blocks in the order of the gradients in ``z``."""
        left = list(self.pairs)
        found = []
        for node in z[: len(left)]:
            pair = next(pair for pair in left if pair[0] == node)
            left.remove(pair)
            found.append(pair[1])
        return tuple(found)


def joints(
    graph: Graph, terms: Iterable[Term], carried: Sequence[int | None], inside: Iterable[int]
) -> list[Joint]:
    """The joints of a program, the largest first.

    Args:
        graph: the expressions.
        terms: of the gradients of matrices.
        carried: for each state, the product that flows back to it with the next step.
        inside: the products in which gradients flow back within the step.
    """
    ends = [
        Joint(sorted(graph.terms(n)), None, f"p{i}") for i, n in enumerate(carried) if n is not None
    ]
    ends += [Joint(sorted(graph.terms(n)), None, inside=n) for n in sorted(inside)]
    by_source = defaultdict[int, list[Pair]](list)
    for term in terms:
        by_source[term.source].append((term.gradient, term.block))
    found = []
    for source, pairs in by_source.items():
        end = next((end for end in ends if end.pairs == sorted(pairs)), None)
        if end is not None:
            ends.remove(end)
        found.append((end or Joint(sorted(pairs), None))._replace(source=source))
    return sorted(found + ends, key=lambda joint: -len(joint.pairs))


def lay_out(wanted: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """A row in which each of these stands together, and where each begins.

    What two have in common is shared where it can be: the last of one with the first of the next.
    """
    z: list[int] = []
    places = []
    for number, nodes in enumerate(wanted):
        place = _window(z, nodes)
        if place is None:
            overlaps = range(min(len(z), len(nodes)) + 1)
            shared = max(n for n in overlaps if not Counter(z[len(z) - n :]) - Counter(nodes))
            place = len(z) - shared
            rest = Counter(nodes) - Counter(z[place:])
            later = set(wanted[number + 1]) if number + 1 < len(wanted) else set()
            z += sorted(rest.elements(), key=later.__contains__)
        places.append(place)
    return z, places


def _window(z: Sequence[int], nodes: Sequence[int]) -> int | None:
    """Where these stand together already."""
    count = Counter(nodes)
    starts = range(len(z) - len(nodes) + 1)
    return next((i for i in starts if Counter(z[i : i + len(nodes)]) == count), None)
