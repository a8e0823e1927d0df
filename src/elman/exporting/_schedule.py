"""The order in which a graph is computed: operations of one shape share a loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from elman.exporting._nodes import (
    ArrayNode,
    ConstantArray,
    Input,
    Map,
    StateBefore,
    StepGraph,
    View,
    is_whole,
    squeezed,
)

Shape = tuple[int, ...]
LEAVES = (Input, StateBefore, ConstantArray)


@dataclass(frozen=True)
class Loop:
    """Operations number by number, all of one shape, each after those that it needs.

    Attributes:
        shape: the sizes of the loops, from the outer one to the inner one.
        maps: the operations.
        stored: those of them that are needed after the loop.
    """

    shape: Shape
    maps: tuple[Map, ...]
    stored: frozenset[int]

    def stores(self, node: Map) -> bool:
        return id(node) in self.stored


Statement = Loop | ArrayNode


def base_of(node: ArrayNode) -> ArrayNode:
    """The array in which the numbers of this one lie."""
    return node.base if isinstance(node, View) else node


def is_direct(operand: ArrayNode, user: Map) -> bool:
    """Whether the user's number at a place needs the operand's number at that place."""
    base, shape = base_of(operand), squeezed(user.shape)
    whole = not isinstance(operand, View) or is_whole(operand)
    return (
        isinstance(base, Map) and whole and squeezed(base.shape) == shape == squeezed(operand.shape)
    )


class _Stages:
    """Of each node its stage, whose loops come after all else of it and do not need each other."""

    def __init__(self, graph: StepGraph) -> None:
        self.of: dict[int, int] = {}
        for node in graph.nodes:
            self.of[id(node)] = self._stage(node)

    def _stage(self, node: ArrayNode) -> int:
        if isinstance(node, LEAVES):
            return 0
        if isinstance(node, View):
            return self.of[id(node.base)]

        def after(operand: ArrayNode) -> int:
            waits = isinstance(base_of(operand), Map)
            if isinstance(node, Map) and is_direct(operand, node):
                waits = False
            return self.of[id(base_of(operand))] + waits

        return max((after(operand) for operand in node.inputs), default=0)

    def group(self, node: Map) -> tuple[int, Shape]:
        return self.of[id(node)], squeezed(node.shape)


def schedule(graph: StepGraph) -> list[Statement]:
    """The statements of a step in order; views, inputs and constants are none."""
    stages = _Stages(graph)
    stored = frozenset(map(id, _stored(graph, stages)))
    others: dict[int, list[ArrayNode]] = {}
    loops: dict[tuple[int, Shape], list[Map]] = {}
    for node in graph.nodes:
        if isinstance(node, Map):
            loops.setdefault(stages.group(node), []).append(node)
        elif not isinstance(node, (*LEAVES, View)):
            others.setdefault(stages.of[id(node)], []).append(node)
    statements: list[Statement] = []
    for stage in range(max(stages.of.values()) + 1):
        statements += others.get(stage, [])
        statements += [
            Loop(shape, tuple(maps), stored) for (its, shape), maps in loops.items() if its == stage
        ]
    return statements


def _stored(graph: StepGraph, stages: _Stages) -> Iterator[Map]:
    """The operations whose numbers are needed after their loop."""
    for result in (graph.output, *graph.after):
        base = base_of(result)
        if isinstance(base, Map):
            yield base
    for node in graph.nodes:
        for operand in node.inputs:
            base = base_of(operand)
            if not isinstance(base, Map) or isinstance(node, View):
                continue
            together = isinstance(node, Map) and is_direct(operand, node)
            if not together or stages.group(base) != stages.group(node):  # type: ignore[arg-type]
                yield base


def lifetimes(statements: list[Statement], graph: StepGraph) -> dict[int, int]:
    """The last statement that needs each array, by the array's identity."""
    last: dict[int, int] = {}
    for place, statement in enumerate(statements):
        nodes = statement.maps if isinstance(statement, Loop) else (statement,)
        for node in nodes:
            last.setdefault(id(node), place)
            for operand in node.inputs:
                last[id(base_of(operand))] = place
    for result in (graph.output, *graph.after):
        last[id(base_of(result))] = len(statements)
    return last
