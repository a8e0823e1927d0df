"""From a traced step with its gradient to a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import fx

from elman.engine.compiler import _reduce, _rules  # noqa: F401 - they say how operations are lowered
from elman.engine.compiler._gemm_fusion import Joint, Term, joints, lay_out
from elman.engine.compiler._ir import Graph, Node
from elman.engine.compiler._lower import Lowering, Own, Untraceable, Value
from elman.engine.compiler._matrix import Outer
from elman.engine.compiler._program import Block, Group, Program
from elman.engine.compiler._schedule import Effect, Scheduler, choose_saved, depends_on_cotangent


class Leaf(NamedTuple):
    """What a traced step is given.

    Attributes:
        kind: "input"; "recurrent", where W_hh h is given beside the step; "state"; or "own".
        number: which of its kind.
        shape: of the tensor.
        fixed: whether it has no gradient.
    """

    kind: str
    number: int
    shape: tuple[int, ...]
    fixed: bool = False


class Built(NamedTuple):
    """A program, and which of the cell's own tensors it takes, by number; whether transposed."""

    program: Program
    own: tuple[tuple[int, bool], ...]


class _Owns:
    """The cell's own tensors that a program uses, in the order in which it first does."""

    def __init__(self, graph: Graph, units: int, gates: int) -> None:
        self.graph, self.units = graph, units
        self.slots: dict[int, Value] = {}  # by the tensor's number
        self.scalars: list[bool] = []
        self.values: list[tuple[int, str]] = []
        # Of a recurrent matrix that is given beside the step, matrix 0.
        self.matrices = [(-1, False)] * (gates > 0)
        self.shapes = [f"matrix{gates}x1"] * (gates > 0)

    def load(self, own: Own) -> Value:
        """One number, or some per unit."""
        if own.number not in self.slots:
            self.slots[own.number] = self._load(own)
        return self.slots[own.number]

    def _load(self, own: Own) -> Value:
        size = 1
        for n in own.shape:
            size *= n
        per_unit = bool(own.shape) and own.shape[-1] % self.units == 0 and size == own.shape[-1]
        if not per_unit and size != 1:
            raise Untraceable(
                f"it has a tensor of shape {own.shape}: expected one number per unit, or one "
                "number, or a matrix to multiply by"
            )
        count = size // self.units if per_unit else 1
        slots = range(len(self.scalars), len(self.scalars) + count)
        self.scalars.extend([not per_unit] * count)
        self.values.append((own.number, f"unit{count}" if per_unit else "scalar"))
        op = "unit" if per_unit else "scalar"
        return Value(tuple(self.graph.add(op, slot=slot, row=not per_unit) for slot in slots))

    def matrix(self, own: Own, transposed: bool) -> int:
        """The number of a matrix."""
        key = (own.number, transposed)
        if key not in self.matrices:
            rows, columns = (n // self.units for n in own.shape[:: -1 if transposed else 1])
            self.matrices.append(key)
            self.shapes.append(f"matrix{rows}x{columns}")
        return self.matrices.index(key)

    @property
    def used(self) -> tuple[tuple[int, bool], ...]:
        """Number of each tensor, and whether it is transposed: matrices first."""
        return *self.matrices, *((number, False) for number, _ in self.values)

    @property
    def texts(self) -> tuple[str, ...]:
        """What each of them is."""
        return *self.shapes, *(text for _, text in self.values)


class _Gradients(NamedTuple):
    """What the traced gradient consists of."""

    inputs: list[int]  # of each gate of the inputs; -1 where there is none
    states: list[int]
    terms: list[Term]
    effects: list[Effect]


class Builder:
    """Builds one program.

    Args:
        leaves: what was given to the traced step, in order, the fixed ones last.
        batch, units: the sizes it was traced with.
        dtype: what it computes in.
        projected: whether the library computes the input itself.
        watched: how many results after the states are shown.
    """

    def __init__(
        self,
        leaves: Sequence[Leaf],
        batch: int,
        units: int,
        dtype: torch.dtype,
        *,
        projected: bool,
        watched: int,
    ) -> None:
        self.leaves, self.batch, self.units, self.dtype = leaves, batch, units, dtype
        self.projected = projected
        self.graph = Graph()
        gates = (leaf.shape[-1] // units for leaf in leaves if leaf.kind == "recurrent")
        self.own = _Owns(self.graph, units, sum(gates))
        self.states = sum(leaf.kind == "state" for leaf in leaves)
        inputs = sorted(leaf for leaf in leaves if leaf.kind == "input")
        self.widths = tuple(leaf.shape[-1] // units for leaf in inputs)
        self.results = self.states + watched
        tiles = (
            ("input", sum(self.widths)),
            ("previous", self.states),
            ("cotangent", self.results),
        )
        self.inputs, self.previous, self.cotangents = (
            [self.graph.add(kind, slot=i) for i in range(count)] for kind, count in tiles
        )

    def build(self, module: fx.GraphModule) -> Built:
        """The program of a graph from the leaves and cotangents to new states and gradients."""
        g = self.graph
        leaves = [self._leaf(leaf) for leaf in self.leaves] + [Value((n,)) for n in self.cotangents]
        low = Lowering(g, self.batch, self.units, self.dtype, self.own.load, self.own.matrix)
        results = low.run(module, leaves, self.results)
        new, seen = (
            [self._tiles(value, 1)[0] for value in some]
            for some in (results[: self.states], results[self.states : self.results])
        )
        gradients = _Gradients([-1] * len(self.inputs), [-1] * self.states, [], [])
        differentiable = [leaf for leaf in self.leaves if not leaf.fixed]
        for leaf, value in zip(differentiable, results[self.results :], strict=True):
            self._gradient(leaf, value, gradients)
        return Built(self._assemble(new, seen, gradients), self.own.used)

    # ---- from leaves, and to gradients ----

    def _leaf(self, leaf: Leaf) -> Any:
        if leaf.kind == "input":
            first = sum(self.widths[: leaf.number])
            return Value(tuple(self.inputs[first : first + self.widths[leaf.number]]))
        if leaf.kind == "state":
            return Value((self.previous[leaf.number],))
        if leaf.kind == "own":
            return Own(leaf.number, leaf.shape)
        gates = range(leaf.shape[-1] // self.units)
        return Value(tuple(self.graph.product(self.previous[0], Block(0, i, 0)) for i in gates))

    def _gradient(self, leaf: Leaf, value: Any, found: _Gradients) -> None:
        """Notes the gradient of one leaf."""
        count = leaf.shape[-1] // self.units if leaf.shape else 1
        if leaf.kind == "input":
            first = sum(self.widths[: leaf.number])
            found.inputs[first : first + count] = self._tiles(value, count)
        elif leaf.kind == "state":
            (found.states[leaf.number],) = self._tiles(value, 1)
        elif leaf.kind == "recurrent":
            tiles = enumerate(self._tiles(value, count))
            found.terms.extend(Term(n, Block(0, i, 0), self.previous[0]) for i, n in tiles)
        elif isinstance(value, Outer):
            found.terms.extend(self._terms(Own(leaf.number, leaf.shape), value))
        elif leaf.number in self.own.slots:
            slots = self.own.slots[leaf.number]
            found.effects.extend(self._effects(slots, value))

    def _tiles(self, value: Value, count: int) -> list[int]:
        parts = value.parts if len(value.parts) == count else value.parts * count
        return list(map(self.graph.as_tile, parts))

    def _terms(self, own: Own, gradient: Outer) -> Iterator[Term]:
        backward = depends_on_cotangent(self.graph)  # and what is a row may become a tile
        for i, row in enumerate(gradient.grid):
            for j, pairs in enumerate(row):
                for a, b in (map(self.graph.as_tile, pair) for pair in pairs):
                    if a in backward:
                        yield Term(a, Block(self.own.matrix(own, False), i, j), b)
                    else:
                        yield Term(b, Block(self.own.matrix(own, True), j, i), a)

    def _effects(self, slots: Value, value: Value) -> Iterator[Effect]:
        parts = value.parts if len(value.parts) > 1 else value.parts * len(slots.parts)
        for load, part in zip(slots.parts, parts, strict=True):
            slot = self.graph.nodes[load].slot
            if self.graph.known(part) == 0:
                continue
            if self.own.scalars[slot]:
                yield Effect(slot, part if self.graph.nodes[part].row else self.graph.row_sum(part))
            else:
                yield Effect(slot, self.graph.as_tile(part))

    # ---- to a program ----

    def _assemble(self, new: list[int], seen: list[int], found: _Gradients) -> Program:
        g = self.graph
        if (-1, False) in self.own.matrices:
            of_gates = [(t.gradient, t.block) for t in found.terms if t.block.matrix == 0]
            found.states[0] = g.apply("add", found.states[0], g.flow_back(of_gates))
        terms = [t for t in found.terms if g.known(t.gradient) != 0]
        of_inputs = [n for n in found.inputs if n >= 0 and g.known(n) != 0]
        others = of_inputs + [e.node for e in found.effects]
        others += [n for t in terms for n in (t.gradient, t.source)]
        rest, carried = self._carried(found.states, others)
        self._start_products([*new, *seen, *rest, *others])
        inside = {n for n in g.closure([*rest, *others]) if g.nodes[n].op == "flow_back"}
        all_joints = joints(g, terms, carried, inside)
        wanted = [[n for n, _ in joint.pairs] for joint in all_joints]
        z, (_, *places) = lay_out([of_inputs if self.projected else [], *wanted])
        z += [n for n in dict.fromkeys(of_inputs) if n not in z]
        return self._program(new, seen, rest, z, found, list(zip(all_joints, places, strict=True)))

    def _carried(
        self, states: Sequence[int], others: Sequence[int]
    ) -> tuple[list[int], list[int | None]]:
        """Gradients of the states, without the products that can as well come a step later."""
        g = self.graph
        split = [g.without_flow_back(n) for n in states]
        for _ in states:  # keeping one within the step may keep another
            within = g.closure([*(rest for rest, _ in split), *others])
            for i, (n, (_, product)) in enumerate(zip(states, split, strict=True)):
                if product in within:
                    split[i] = n, None
        return [rest for rest, _ in split], [product for _, product in split]

    def _start_products(self, wanted: Sequence[int]) -> None:
        """A product that is only added to a gate, or to another product, starts from it."""
        nodes = self.graph.nodes
        alive = self.graph.closure(wanted)
        uses = Counter(i for n in alive for i in nodes[n].inputs) + Counter(set(wanted))
        for n in sorted(alive):
            orders = (nodes[n].inputs, nodes[n].inputs[::-1]) if nodes[n].op == "add" else ()
            for product, start in orders:
                plain = nodes[product].op == "product" and len(nodes[product].inputs) == 1
                once = uses[product] == uses[start] == 1
                if plain and once and self._may_start(nodes[product], nodes[start]):
                    inputs = (*nodes[product].inputs, start)
                    nodes[n] = Node("product", inputs, 0.0, nodes[product].slot, row=False)
                    break

    def _may_start(self, product: Node, start: Node) -> bool:
        """Whether ``start`` is there when the product begins, with room for its bias.

        Products of one source are computed at once, so that none of them can start from another.
        The bias of W_hh is what its products start from, or is added to the gate that they start
        from: one that starts from a product would lose it.
        """
        if start.op == "input":
            return True
        biased = self.projected and any(b.matrix == 0 for b in self.graph.blocks[product.slot])
        return start.op == "product" and start.inputs[0] != product.inputs[0] and not biased

    def _program(
        self,
        new: list[int],
        seen: list[int],
        rest: list[int],
        z: list[int],
        found: _Gradients,
        placed: list[tuple[Joint, int]],
    ) -> Program:
        g = self.graph
        previous = {n: f"p{i}" for i, n in enumerate(self.previous)}
        before = previous | {n: f"i{i}" for i, n in enumerate(self.inputs)}
        after = previous | {n: f"d{i}" for i, n in enumerate(self.cotangents[: self.states])}
        after |= {n: f"e{i}" for i, n in enumerate(self.cotangents[self.states :])}
        # Where two states are one value, or a state is what it was, any of its places will do.
        after = {n: f"n{i}" for i, n in enumerate(new) if n not in previous} | after
        sources = [joint.source for joint, _ in placed if joint.source is not None]
        wanted = [*rest, *z, *(e.node for e in found.effects), *sources]
        saved = self._saved(wanted, set(after), new + seen)
        after |= {n: f"s{i}" for i, n in enumerate(saved)}
        z = z + [n for n in dict.fromkeys(sources) if n not in after and n not in z]
        targets = [(f"g{i}", n) for i, n in enumerate(rest)]
        targets += [(f"z{k}", n) for k, n in enumerate(z)]
        backward = Scheduler(g, after, targets, found.effects, {
            joint.inside: tuple(f"z{first + k}" for k in range(len(joint.pairs)))
            for joint, first in placed if joint.inside is not None
        })  # fmt: skip
        places = {n: f"z{k}" for k, n in reversed(list(enumerate(z)))} | after
        next_states = [(f"n{i}", n) for i, n in enumerate(new)]
        kept = [(f"s{i}", n) for i, n in enumerate(saved)]
        shown = [(f"o{i}", n) for i, n in enumerate(seen)]
        return Program(
            inputs=self.widths,
            projected=int(self.projected),
            states=self.states,
            saved=len(saved),
            kinds=len(z),
            input_kind=tuple(_kinds(found.inputs, z)),
            own=self.own.texts,
            groups=tuple(
                Group(
                    first,
                    joint.blocks_in(z[first:]),
                    "-" if joint.source is None else places[joint.source],
                    joint.to if joint.inside is None else backward.product(joint.inside),
                )
                for joint, first in placed
            ),
            forward=Scheduler(g, before, next_states + kept + shown).routine(),
            inference=Scheduler(g, before, next_states + shown).routine(),
            backward=backward.routine(),
            watched=len(seen),
        )

    def _saved(self, wanted: list[int], free: set[int], new: list[int]) -> tuple[int, ...]:
        """What a product gave is, as the inputs are, gone afterwards."""
        forward = self.graph.closure(new)
        products = {n for n in forward if self.graph.nodes[n].op == "product"}
        return choose_saved(self.graph, wanted, free, products.union(self.inputs), forward)


def _kinds(inputs: Sequence[int], z: Sequence[int]) -> Iterator[int]:
    """For each gate of the inputs its gradient's place; one of its own where there are several."""
    taken = Counter[int]()
    for n in inputs:
        places = [k for k, other in enumerate(z) if other == n]
        yield places[min(taken[n], len(places) - 1)] if places else -1
        taken[n] += 1
