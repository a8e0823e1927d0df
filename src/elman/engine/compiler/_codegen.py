"""From a traced step with its gradient to a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import fx

from elman.engine.compiler import _reduce, _rules  # noqa: F401 - they say how operations are lowered
from elman.engine.compiler._gemm_fusion import ProductGroup, Term, group_products, lay_out
from elman.engine.compiler._ir import Graph, Node
from elman.engine.compiler._lower import CellTensor, Lowering, Tiles, Untraceable
from elman.engine.compiler._matrix import OuterProduct
from elman.engine.compiler._program import Block, GemmGroup, Program
from elman.engine.compiler._schedule import Effect, Scheduler, choose_saved, depends_on_cotangent


class TracedInput(NamedTuple):
    """A tensor that a traced step takes.

    Attributes:
        kind: "input"; "recurrent", the product W_hh h where the step does not compute it itself;
            "state"; or "own", a parameter or buffer of the cell.
        number: which of its kind.
        shape: of the tensor.
        fixed: whether it has no gradient.
    """

    kind: str
    number: int
    shape: tuple[int, ...]
    fixed: bool = False


class _CellTensors:
    """The cell's own tensors that a program uses, in the order in which it first does."""

    def __init__(self, graph: Graph, units: int, gates: int) -> None:
        self.graph, self.units = graph, units
        self.slots: dict[int, Tiles] = {}  # by the tensor's number
        self.scalars: list[bool] = []
        self.values: list[tuple[int, str]] = []
        # W_hh, where the step takes W_hh h instead of computing it, is matrix 0 and no leaf.
        self.matrices = [(-1, False)] * (gates > 0)
        self.shapes = [f"matrix{gates}x1"] * (gates > 0)

    def load(self, own: CellTensor) -> Tiles:
        """The tensor as one number, or as some numbers per unit."""
        if own.number not in self.slots:
            self.slots[own.number] = self._load(own)
        return self.slots[own.number]

    def _load(self, own: CellTensor) -> Tiles:
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
        return Tiles(tuple(self.graph.add(op, slot=slot, row=not per_unit) for slot in slots))

    def matrix(self, own: CellTensor, transposed: bool) -> int:
        """The number that a matrix, or its transpose, has in the program."""
        key = (own.number, transposed)
        if key not in self.matrices:
            rows, columns = (n // self.units for n in own.shape[:: -1 if transposed else 1])
            self.matrices.append(key)
            self.shapes.append(f"matrix{rows}x{columns}")
        return self.matrices.index(key)

    @property
    def used(self) -> tuple[tuple[int, bool], ...]:
        """The number of each tensor, and whether it is transposed: matrices first."""
        return *self.matrices, *((number, False) for number, _ in self.values)

    @property
    def texts(self) -> tuple[str, ...]:
        """What each tensor is, as in :attr:`Program.own`."""
        return *self.shapes, *(text for _, text in self.values)


class _Gradients(NamedTuple):
    """The traced gradient, by what becomes of it in the backward."""

    inputs: list[int]  # of each gate of the inputs; -1 where there is none
    states: list[int]
    terms: list[Term]
    effects: list[Effect]


class Builder:
    """Builds the program of one traced step.

    Args:
        leaves: what the traced step takes, in order, the fixed ones last.
        batch, units: the sizes it was traced with.
        dtype: what it computes in.
        projected: whether the library computes the input itself.
        watched: how many outputs after the states are watched values.
        linear: whether inputs that the step does not need are left out.

    Attributes:
        taken: which of the inputs the program takes.
    """

    def __init__(
        self,
        leaves: Sequence[TracedInput],
        batch: int,
        units: int,
        dtype: torch.dtype,
        *,
        projected: bool,
        watched: int,
        linear: bool = False,
    ) -> None:
        self.linear = linear
        self.leaves, self.batch, self.units, self.dtype = leaves, batch, units, dtype
        self.projected = projected
        self.graph = Graph()
        gates = (leaf.shape[-1] // units for leaf in leaves if leaf.kind == "recurrent")
        self.own = _CellTensors(self.graph, units, sum(gates))
        self.states = sum(leaf.kind == "state" for leaf in leaves)
        inputs = sorted(leaf for leaf in leaves if leaf.kind == "input")
        self.widths = tuple(leaf.shape[-1] // units for leaf in inputs)
        self.taken = tuple(range(len(self.widths)))
        self.outputs = self.states + watched
        tiles = (
            ("input", sum(self.widths)),
            ("previous", self.states),
            ("cotangent", self.outputs),
        )
        self.inputs, self.previous, self.cotangents = (
            [self.graph.add(kind, slot=i) for i in range(count)] for kind, count in tiles
        )

    def build(self, module: fx.GraphModule) -> tuple[Program, tuple[tuple[int, bool], ...]]:
        """The program of a graph from the leaves and cotangents to new states and gradients.

        Also which of the cell's own tensors it takes, by number, and whether transposed.
        """
        g = self.graph
        leaves = [self._leaf(leaf) for leaf in self.leaves] + [Tiles((n,)) for n in self.cotangents]
        low = Lowering(g, self.batch, self.units, self.dtype, self.own.load, self.own.matrix)
        outputs = low.run(module, leaves, self.outputs)
        tiles = [self._tiles(output, 1)[0] for output in outputs[: self.outputs]]
        new, watched = tiles[: self.states], tiles[self.states :]
        gradients = _Gradients([-1] * len(self.inputs), [-1] * self.states, [], [])
        differentiable = [leaf for leaf in self.leaves if not leaf.fixed]
        for leaf, gradient in zip(differentiable, outputs[self.outputs :], strict=True):
            self._add_gradient(leaf, gradient, gradients)
        if self.linear:
            self._leave_out(new + watched, gradients)
        return self._assemble(new, watched, gradients), self.own.used

    def _leave_out(self, outputs: list[int], gradients: _Gradients) -> None:
        """Leaves out the inputs that no output needs, but for one: they would be copied in vain."""
        needed, ends = self.graph.closure(outputs), [0, *accumulate(self.widths)]
        gates = [range(*pair) for pair in pairwise(ends)]
        self.taken = tuple(
            i for i, each in enumerate(gates) if not needed.isdisjoint(self.inputs[k] for k in each)
        ) or (0,)
        kept = [k for i in self.taken for k in gates[i]]
        self.widths = tuple(self.widths[i] for i in self.taken)
        self.inputs = [self.inputs[k] for k in kept]
        gradients.inputs[:] = [gradients.inputs[k] for k in kept]

    # ---- from leaves, and to gradients ----

    def _leaf(self, leaf: TracedInput) -> Any:
        if leaf.kind == "input":
            first = sum(self.widths[: leaf.number])
            return Tiles(tuple(self.inputs[first : first + self.widths[leaf.number]]))
        if leaf.kind == "state":
            return Tiles((self.previous[leaf.number],))
        if leaf.kind == "own":
            return CellTensor(leaf.number, leaf.shape)
        gates = range(leaf.shape[-1] // self.units)
        return Tiles(tuple(self.graph.product(self.previous[0], Block(0, i, 0)) for i in gates))

    def _add_gradient(self, leaf: TracedInput, gradient: Any, gradients: _Gradients) -> None:
        """Adds the gradient of one leaf to those of its kind.

        Gates and states get theirs at every step. Those of matrices and parameters are sums over
        all steps, so the program only says which tiles to multiply, or to add up.
        """
        count = leaf.shape[-1] // self.units if leaf.shape else 1
        if leaf.kind == "input":
            first = sum(self.widths[: leaf.number])
            gradients.inputs[first : first + count] = self._tiles(gradient, count)
        elif leaf.kind == "state":
            (gradients.states[leaf.number],) = self._tiles(gradient, 1)
        elif leaf.kind == "recurrent":
            tiles = enumerate(self._tiles(gradient, count))
            gradients.terms.extend(Term(n, Block(0, i, 0), self.previous[0]) for i, n in tiles)
        elif isinstance(gradient, OuterProduct):
            gradients.terms.extend(self._terms(CellTensor(leaf.number, leaf.shape), gradient))
        elif leaf.number in self.own.slots:
            slots = self.own.slots[leaf.number]
            gradients.effects.extend(self._effects(slots, gradient))

    def _tiles(self, tensor: Tiles, count: int) -> list[int]:
        parts = tensor.parts if len(tensor.parts) == count else tensor.parts * count
        return list(map(self.graph.as_tile, parts))

    def _terms(self, own: CellTensor, gradient: OuterProduct) -> Iterator[Term]:
        # Of each pair one factor is a gradient, the other a value of the forward. Which is which
        # says whether the program has the matrix or its transpose (F.linear, or h @ W).
        backward = depends_on_cotangent(self.graph)  # includes rows, which may become tiles
        for i, row in enumerate(gradient.grid):
            for j, pairs in enumerate(row):
                for a, b in (map(self.graph.as_tile, pair) for pair in pairs):
                    if a in backward:
                        yield Term(a, Block(self.own.matrix(own, False), i, j), b)
                    else:
                        yield Term(b, Block(self.own.matrix(own, True), j, i), a)

    def _effects(self, slots: Tiles, gradient: Tiles) -> Iterator[Effect]:
        count = len(gradient.parts)
        parts = gradient.parts if count > 1 else gradient.parts * len(slots.parts)
        for load, part in zip(slots.parts, parts, strict=True):
            slot = self.graph.nodes[load].slot
            if self.graph.known(part) == 0:
                continue
            if self.own.scalars[slot]:
                yield Effect(slot, part if self.graph.nodes[part].row else self.graph.row_sum(part))
            else:
                yield Effect(slot, self.graph.as_tile(part))

    # ---- to a program ----

    def _assemble(self, new: list[int], watched: list[int], gradients: _Gradients) -> Program:
        g = self.graph
        if (-1, False) in self.own.matrices:  # the trace took W_hh h, so its gradient stops there
            of_gates = [(t.gradient, t.block) for t in gradients.terms if t.block.matrix == 0]
            gradients.states[0] = g.apply("add", gradients.states[0], g.flow_back(of_gates))
        terms = [t for t in gradients.terms if g.known(t.gradient) != 0]
        of_inputs = [n for n in gradients.inputs if n >= 0 and g.known(n) != 0]
        others = of_inputs + [e.node for e in gradients.effects]
        others += [n for t in terms for n in (t.gradient, t.source)]
        rest, carried = self._carried(gradients.states, others)
        self._start_products([*new, *watched, *rest, *others])
        inside = {n for n in g.closure([*rest, *others]) if g.nodes[n].op == "flow_back"}
        groups = group_products(g, terms, carried, inside)
        # The gradients of a projected input come first: they meet W_ih, in products of their own.
        nodes = [[n for n, _ in group.pairs] for group in groups]
        z, (_, *places) = lay_out([of_inputs if self.projected else [], *nodes])
        z += [n for n in dict.fromkeys(of_inputs) if n not in z]
        placed = list(zip(groups, places, strict=True))
        return self._program(new, watched, rest, z, gradients, placed)

    def _carried(
        self, states: Sequence[int], others: Sequence[int]
    ) -> tuple[list[int], list[int | None]]:
        """Gradients of the states, without the products that can as well come a step later.

        Wᵀ z needs all units of z, and so a barrier between threads that share rows. Left to the
        next step of the backward, which begins with one, it costs no other.
        """
        g = self.graph
        split = [g.without_flow_back(n) for n in states]
        for _ in states:  # a product that stays within the step may keep another there
            within = g.closure([*(rest for rest, _ in split), *others])
            for i, (n, (_, product)) in enumerate(zip(states, split, strict=True)):
                if product in within:
                    split[i] = n, None
        return [rest for rest, _ in split], [product for _, product in split]

    def _start_products(self, outputs: Sequence[int]) -> None:
        """Lets a product that is only added to a gate, or to another product, start from it.

        The matrix product accumulates anyway; starting from the gate saves the addition, and a pass
        over memory.
        """
        nodes = self.graph.nodes
        alive = self.graph.closure(outputs)
        uses = Counter(i for n in alive for i in nodes[n].inputs) + Counter(set(outputs))
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
        watched: list[int],
        rest: list[int],
        z: list[int],
        gradients: _Gradients,
        placed: list[tuple[ProductGroup, int]],
    ) -> Program:
        g = self.graph
        # What is in memory: ``before`` a step of the forward, and ``after`` it, for the backward.
        previous = {n: f"p{i}" for i, n in enumerate(self.previous)}
        before = previous | {n: f"i{i}" for i, n in enumerate(self.inputs)}
        after = previous | {n: f"d{i}" for i, n in enumerate(self.cotangents[: self.states])}
        after |= {n: f"e{i}" for i, n in enumerate(self.cotangents[self.states :])}
        # Where two states are one value, or a state is what it was, any of its places will do.
        after = {n: f"n{i}" for i, n in enumerate(new) if n not in previous} | after
        sources = [group.source for group, _ in placed if group.source is not None]
        outputs = [*rest, *z, *(e.node for e in gradients.effects), *sources]
        saved = self._saved(outputs, set(after), new + watched)
        after |= {n: f"s{i}" for i, n in enumerate(saved)}
        # A source that is no state and not saved is computed again, and kept beside the gradients.
        z = z + [n for n in dict.fromkeys(sources) if n not in after and n not in z]
        targets = [(f"g{i}", n) for i, n in enumerate(rest)]
        targets += [(f"z{k}", n) for k, n in enumerate(z)]
        backward = Scheduler(g, after, targets, gradients.effects, {
            group.inside: tuple(f"z{first + k}" for k in range(len(group.pairs)))
            for group, first in placed if group.inside is not None
        })  # fmt: skip
        places = {n: f"z{k}" for k, n in reversed(list(enumerate(z)))} | after
        next_states = [(f"n{i}", n) for i, n in enumerate(new)]
        kept = [(f"s{i}", n) for i, n in enumerate(saved)]
        observed = [(f"o{i}", n) for i, n in enumerate(watched)]
        return Program(
            inputs=self.widths,
            projected=int(self.projected),
            states=self.states,
            saved=len(saved),
            gate_grads=len(z),
            input_grad=tuple(_places(gradients.inputs, z)),
            own=self.own.texts,
            groups=tuple(
                GemmGroup(
                    first,
                    group.blocks_in(z[first:]),
                    "-" if group.source is None else places[group.source],
                    group.to if group.inside is None else backward.product(group.inside),
                )
                for group, first in placed
            ),
            forward=Scheduler(g, before, next_states + kept + observed).routine(),
            inference=Scheduler(g, before, next_states + observed).routine(),
            backward=backward.routine(),
            watched=len(watched),
        )

    def _saved(self, outputs: list[int], free: set[int], new: list[int]) -> tuple[int, ...]:
        """The nodes to save, where products and inputs are overwritten by the next step's."""
        forward = self.graph.closure(new)
        products = {n for n in forward if self.graph.nodes[n].op == "product"}
        return choose_saved(self.graph, outputs, free, products.union(self.inputs), forward)


def _places(inputs: Sequence[int], z: Sequence[int]) -> Iterator[int]:
    """The place in ``z`` of the gradient of each gate of the inputs; -1 where there is none.

    Gates that share a gradient get places of their own where it stands there more than once: each
    of the first of a projected input belongs to one gate, whose part of W_ih it meets.
    """
    taken = Counter[int]()
    for n in inputs:
        places = [k for k, other in enumerate(z) if other == n]
        yield places[min(taken[n], len(places) - 1)] if places else -1
        taken[n] += 1
