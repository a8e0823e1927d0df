"""Fusion of the backward's matrix products: gradients that lie side by side take one product.

A matrix W that multiplies a source v needs two products in the backward, both with the gradient z
of W v: the gradient of W gains z vᵀ, and the gradient of v gains Wᵀ z. The gates of an LSTM are
four blocks with one source, so they would take eight products. Where the four gradients are
neighbors in memory, two large products do the same, and read the source once.

So the tiles ``z`` of a program are put in a row in which the gradients that meet one source, or
flow to one place, stand together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from elman.engine.compiler._ir import Graph
from elman.engine.compiler._program import Block

Pair = tuple[int, Block]


class Term(NamedTuple):
    """The gradient of a block gains ``gradient`` times ``source``, summed over steps and rows."""

    gradient: int
    block: Block
    source: int


class ProductGroup(NamedTuple):
    """Gradients that take part in one matrix product, each with the block that it meets.

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
        blocks = []
        for node in z[: len(left)]:
            # One gradient may meet several blocks, as where one gate adds up two products.
            pair = next(pair for pair in left if pair[0] == node)
            left.remove(pair)
            blocks.append(pair[1])
        return tuple(blocks)


def group_products(
    graph: Graph, terms: Iterable[Term], carried: Sequence[int | None], inside: Iterable[int]
) -> list[ProductGroup]:
    """The groups of a program, the largest first, which :func:`lay_out` places most freely.

    Args:
        graph: the expressions.
        terms: of the gradients of matrices.
        carried: for each state, the product that flows back to it with the next step.
        inside: the products in which gradients flow back within the step.
    """
    ends = [
        ProductGroup(sorted(graph.terms(n)), None, f"p{i}")
        for i, n in enumerate(carried)
        if n is not None
    ]
    ends += [ProductGroup(sorted(graph.terms(n)), None, inside=n) for n in sorted(inside)]
    by_source = defaultdict[int, list[Pair]](list)
    for term in terms:
        by_source[term.source].append((term.gradient, term.block))
    groups = []
    for source, pairs in by_source.items():
        # Where the gradients that flow back meet the same blocks as those of the matrices, which is
        # the usual case, both products share one group.
        end = next((end for end in ends if end.pairs == sorted(pairs)), None)
        if end is not None:
            ends.remove(end)
        groups.append((end or ProductGroup(sorted(pairs), None))._replace(source=source))
    return sorted(groups + ends, key=lambda group: -len(group.pairs))


def lay_out(groups: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """A row of gradients in which each group stands together, and where each begins.

    Groups share what they have in common where they can: the end of one with the start of the
    next. A gradient that cannot be shared stands in the row twice, and is computed once and copied.
    """
    z: list[int] = []
    places = []
    for number, nodes in enumerate(groups):
        place = _window(z, nodes)
        if place is None:
            # The longest end of the row that consists of nodes of this group.
            overlaps = range(min(len(z), len(nodes)) + 1)
            shared = max(n for n in overlaps if not Counter(z[len(z) - n :]) - Counter(nodes))
            place = len(z) - shared
            rest = Counter(nodes) - Counter(z[place:])
            later = set(groups[number + 1]) if number + 1 < len(groups) else set()
            z += sorted(rest.elements(), key=later.__contains__)  # to be shared with the next
        places.append(place)
    return z, places


def _window(z: Sequence[int], nodes: Sequence[int]) -> int | None:
    """Where these nodes already stand together, in any order; None if they do not."""
    count = Counter(nodes)
    starts = range(len(z) - len(nodes) + 1)
    return next((i for i in starts if Counter(z[i : i + len(nodes)]) == count), None)
