"""From expressions to programs: what to save, in which order, and where values live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from elman.engine.compiler._ir import COST, Graph
from elman.engine.compiler._program import REDUCTIONS, Instruction, Phase, Product, Routine

# What saving a tile costs, in the cycles of COST: it is written to memory in the forward pass and
# read back a sequence later. So a sigmoid (10) is cheaper to compute again from a saved value, and
# a chain of two is not.
SAVE_COST = 13.0
# Computed again in each phase that uses them: to keep the tile would cost a store and a load.
_CHEAP = ("unit", "constant", "expand")
_PRODUCTS = ("product", "flow_back")


class Effect(NamedTuple):
    """Adds ``node`` to the gradient of the program's parameter ``slot``."""

    slot: int
    node: int


def choose_saved(
    graph: Graph, outputs: Iterable[int], free: set[int], lost: Iterable[int], forward: set[int]
) -> tuple[int, ...]:
    """Which forward values the backward pass reads back, so that saving and recomputing cost least.

    This is rematerialization: the rest is computed again from what is saved.

    Args:
        graph: forward and backward.
        outputs: what the backward computes.
        free: what is in memory without saving: states before and after, and their gradients.
        lost: what the forward has in memory, and the backward only if it was saved.
        forward: the nodes that the forward computes anyway.
    """
    outputs, leaves = list(outputs), set(lost) - free
    needed = graph.closure(outputs, free)
    of_backward = depends_on_cotangent(graph)
    candidates = [
        n
        for n in needed
        if n not in of_backward
        and not graph.nodes[n].row
        and graph.nodes[n].op not in ("unit", "constant")
    ]

    def cost(saved: frozenset[int]) -> float:
        again = graph.closure(outputs, free | saved)
        if not leaves.isdisjoint(again):
            return float("inf")  # it would need a product or an input that is gone
        # A saved value that the forward does not compute for itself costs it work, too.
        extra = graph.closure(saved, forward) if saved else set[int]()
        work = sum(COST[graph.nodes[n].op] for n in again) + sum(
            COST[graph.nodes[n].op] for n in extra
        )
        return work + SAVE_COST * len(saved)

    # Hill climbing, from what is always enough: the products and inputs themselves. A step has some
    # tens of nodes, so every move can be tried.
    saved = frozenset(leaves.intersection(candidates))
    best, better = cost(saved), True
    while better:
        better = False
        for moved in _neighbors(graph, saved, candidates):
            price = cost(moved)
            if price < best - 1e-9:  # no ties, so that it ends
                saved, best, better = moved, price, True
                break
    return tuple(sorted(saved))


def _neighbors(
    graph: Graph, saved: frozenset[int], candidates: Sequence[int]
) -> Iterable[frozenset[int]]:
    """The sets one move away: one more, one less, or a saved value exchanged for a neighbor.

    The exchange matters: saving sigmoid(r) instead of r is better, but only after both moves.
    """
    for n in candidates:
        yield saved ^ {n}
    for out in sorted(saved):
        for new in candidates:
            if new not in saved and (
                new in graph.nodes[out].inputs or out in graph.nodes[new].inputs
            ):
                yield saved - {out} | {new}


def depends_on_cotangent(graph: Graph) -> set[int]:
    """The nodes that depend on a cotangent: those of the backward."""
    backward = set[int]()
    for number, node in enumerate(graph.nodes):
        if node.op == "cotangent" or any(i in backward for i in node.inputs):
            backward.add(number)
    return backward


class Scheduler:
    """Builds one routine: orders the nodes, divides them into phases, and gives each a place.

    The library runs a phase tile by tile. Within it a value needs only a tile in the cache. What
    needs all units of a value (a matrix product, a reduction) must wait until all tiles of it are
    there: that is where a phase ends, and what the next one still reads goes to memory.

    Args:
        graph: the expressions.
        memory: nodes that are in memory before the routine, with their operands.
        targets: operands to fill, with their nodes.
        effects: additions to parameters' gradients.
        sources: of each product of the backward, the operands that it multiplies.
    """

    def __init__(
        self,
        graph: Graph,
        memory: Mapping[int, str],
        targets: Sequence[tuple[str, int]],
        effects: Sequence[Effect] = (),
        sources: Mapping[int, tuple[str, ...]] | None = None,
    ) -> None:
        self.graph, self.memory, self.sources = graph, memory, sources or {}
        # What is filled is a tile, also where one number is known for all of it.
        self.targets = [(operand, graph.as_tile(node)) for operand, node in targets]
        self.effects = effects
        outputs = [node for _, node in self.targets] + [e.node for e in effects]
        self.needed = graph.closure(outputs, memory)
        self.phase = self._phases()
        self.products = self._in_order()
        self.order = self._depth_first(outputs)
        self.home: dict[tuple[int, int], str] = {}  # of a node in a phase
        self.uses = Counter(i for n in self.needed for i in graph.nodes[n].inputs)
        self.uses += Counter(outputs)
        self.fused = self._fusable()

    def routine(self) -> Routine:
        """The phases in order."""
        last = max([self.phase[n] for n in self.needed], default=0)
        self._give_homes()
        return tuple(
            Phase(tuple(self._products(p)), tuple(self._rows(p)), tuple(self._tiles(p)))
            for p in range(last + 1)
        )

    def _phases(self) -> dict[int, int]:
        """The earliest phase of each node: a reduction or a product comes one after its input.

        Nodes are numbered in an order in which they can be computed, so one pass is enough.
        """
        phase = dict.fromkeys(self.memory, 0)
        for n in sorted(self.needed):
            node = self.graph.nodes[n]
            ready = max((phase[i] for i in node.inputs), default=0)
            if node.op == "product":
                whole, *start = node.inputs
                # A state is in memory as a whole, so its products open the step. What a product
                # starts from may be of its own phase: products run one after the other.
                after = 0 if whole in self.memory else phase[whole] + 1
                phase[n] = max([after, *(phase[i] for i in start)])
            else:
                phase[n] = ready + (node.op in (*REDUCTIONS, "flow_back"))
        return phase

    def _in_order(self) -> list[int]:
        """The products: those of one phase and source together, and none before its start.

        Together, with their blocks in the order of the matrix, they are one call of the GEMM.
        """
        depth: dict[int, int] = {}  # how many products a product starts from, one after the other
        products = sorted(n for n in self.needed if self.graph.nodes[n].op in _PRODUCTS)
        for n in products:
            start = self.graph.nodes[n].inputs[1:]
            depth[n] = 1 + max((depth.get(i, 0) for i in start), default=0)

        def key(n: int) -> tuple[Any, ...]:
            node = self.graph.nodes[n]
            return self.phase[n], depth[n], node.inputs[0], self.graph.blocks[node.slot]

        return sorted(products, key=key)

    def product(self, node: int) -> str:
        """The operand that holds a product."""
        return f"r{self.products.index(node)}"

    def _products(self, phase: int) -> Iterable[Product]:
        for n in self.products:
            node = self.graph.nodes[n]
            if self.phase[n] != phase:
                continue
            blocks, out = self.graph.blocks[node.slot], self.home[n, -1]
            if node.op == "flow_back":
                yield Product(out, "", blocks, self.sources[n], transposed=True)
            else:
                source, *start = (self.memory.get(i) or self.home[i, -1] for i in node.inputs)
                yield Product(out, start[0] if start else "", blocks, (source,))

    def _depth_first(self, outputs: Sequence[int]) -> list[int]:
        """Each value shortly before its first use, so that few tiles are alive at once."""
        order, visited = list[int](), set[int]()
        # An explicit stack: a step may nest deeper than Python's recursion limit.
        stack = [(n, False) for n in reversed(outputs)]
        while stack:
            n, done = stack.pop()
            if done:
                order.append(n)
            elif n in self.needed and n not in visited:
                visited.add(n)
                stack.append((n, True))
                stack.extend((i, False) for i in reversed(self.graph.nodes[n].inputs))
        return order

    def _fusable(self) -> set[int]:
        """Products that only one sum needs, in its own phase: they become part of an fma."""
        nodes = self.graph.nodes
        targets = {node for _, node in self.targets} | {e.node for e in self.effects}
        fused = set[int]()
        for n in self.needed:
            if nodes[n].op not in ("add", "sub") or nodes[n].row:
                continue
            # The library has a * b + c and c - a * b, but no a * b - c: of a difference, only what
            # is subtracted can be fused.
            for i in nodes[n].inputs if nodes[n].op == "add" else nodes[n].inputs[1:]:
                single = self.uses[i] == 1 and i not in targets and i not in self.memory
                if nodes[i].op == "mul" and single and self.phase[i] == self.phase[n]:
                    fused.add(i)
                    break
        return fused

    def _inputs(self, n: int) -> tuple[str, tuple[int, ...]]:
        """The operation of a node and its inputs, with a fused product's factors in place."""
        node = self.graph.nodes[n]
        for position, i in enumerate(node.inputs):
            if i in self.fused and node.op in ("add", "sub"):
                factors, summand = self.graph.nodes[i].inputs, node.inputs[1 - position]
                return ("fma" if node.op == "add" else "fnma"), (*factors, summand)
        return node.op, node.inputs

    def _give_homes(self) -> None:
        """Assigns memory: targets where they must go, what a later phase reads to "w" or "q"."""
        rows = wides = 0
        # A node that is the target of several operands lives in the first; the others are copies.
        by_node = {node: operand for operand, node in reversed(self.targets)}
        self.home.update({(n, -1): self.product(n) for n in self.products})
        for n in self.order:
            node = self.graph.nodes[n]
            if node.row:
                self.home[n, -1] = f"q{rows}"
                rows += 1
            elif (n, -1) in self.home:
                continue
            elif n in by_node:
                self.home[n, -1] = by_node[n]
            elif self._outlives_its_phase(n):
                self.home[n, -1] = f"w{wides}"
                wides += 1

    def _outlives_its_phase(self, n: int) -> bool:
        later = [u for u in self._users(n) if self.phase[u] > self.phase[n]]
        # A product reads its source from memory, however cheap that would be to compute again.
        cheap = self.graph.nodes[n].op in _CHEAP
        return any(not cheap or self.graph.nodes[u].op == "product" for u in later)

    def _users(self, n: int) -> list[int]:
        return [u for u in self.needed if n in self._inputs(u)[1]]

    def _rows(self, phase: int) -> Iterable[Instruction]:
        for n in self.order:
            node = self.graph.nodes[n]
            if node.row and self.phase[n] == phase and node.op not in REDUCTIONS:
                inputs = tuple(self.home[i, -1] for i in node.inputs)
                yield Instruction(node.op, self.home[n, -1], inputs, node.value, node.slot)
        for effect in self.effects:
            if self.graph.nodes[effect.node].row and self.phase[effect.node] == phase:
                yield Instruction(
                    "accumulate_row", "-", (self.home[effect.node, -1],), slot=effect.slot
                )

    def _tiles(self, phase: int) -> list[Instruction]:
        """The tile instructions of a phase."""
        return _PhaseTiles(self, phase).instructions()


class _PhaseTiles:
    """The tile instructions of one phase.

    They are written with a name for each value ("v7"), as in a compiler's SSA form, and then
    renamed to as few tiles as their lifetimes allow.
    """

    def __init__(self, scheduler: Scheduler, phase: int) -> None:
        self.s, self.phase = scheduler, phase
        self.lines: list[Instruction] = []
        self.made: dict[int, str] = {}

    def instructions(self) -> list[Instruction]:
        s, nodes = self.s, self.s.graph.nodes
        for n in s.order:
            node = nodes[n]
            if n in s.fused or node.op in _PRODUCTS:
                continue
            if node.op in _CHEAP and (n, -1) not in s.home:
                continue
            # A reduction accumulates in the phase of its input; the number is there in the next.
            if node.op in REDUCTIONS and s.phase[n] == self.phase + 1:
                source = self._operand(node.inputs[0])
                self.lines.append(Instruction(node.op, "-", (source,), slot=int(s.home[n, -1][1:])))
            elif not node.row and s.phase[n] == self.phase:
                self._make(n)
        self._finish_targets()
        return _few_tiles(self.lines)

    def _make(self, n: int) -> str:
        op, inputs = self.s._inputs(n)
        node = self.s.graph.nodes[n]
        operands = tuple(
            self.s.home[i, -1] if self.s.graph.nodes[i].row else self._operand(i) for i in inputs
        )
        self.made[n] = self.s.home.get((n, -1), f"v{n}")
        self.lines.append(Instruction(op, self.made[n], operands, node.value, node.slot))
        return self.made[n]

    def _operand(self, n: int) -> str:
        """The operand that holds tile ``n``; a cheap one is computed at its first use."""
        if n in self.s.memory:
            return self.s.memory[n]
        if n in self.made:
            return self.made[n]
        cheap = self.s.graph.nodes[n].op in _CHEAP
        if cheap and ((n, -1) not in self.s.home or self.s.phase[n] == self.phase):
            return self._make(n)
        return self.s.home[n, -1]

    def _finish_targets(self) -> None:
        """Copies values to targets that are leaves or second places; then adds the effects."""
        s = self.s
        for operand, n in s.targets:
            if s.phase.get(n, 0) == self.phase:
                source = self._operand(n)
                if source != operand:
                    self.lines.append(Instruction("copy", operand, (source,)))
        for effect in s.effects:
            if not s.graph.nodes[effect.node].row and s.phase[effect.node] == self.phase:
                self.lines.append(
                    Instruction("accumulate", "-", (self._operand(effect.node),), slot=effect.slot)
                )


def _few_tiles(lines: Sequence[Instruction]) -> list[Instruction]:
    """Temporary values ("v7") on as few tiles ("t0") as their lifetimes allow.

    This is linear-scan register allocation; fewer tiles stay in a nearer cache.
    """
    last = {
        name: number
        for number, line in enumerate(lines)
        for name in (*line.inputs, line.out)
        if name[0] == "v"
    }
    tile: dict[str, int] = {}
    free: list[int] = []
    renamed = []
    for number, line in enumerate(lines):
        inputs = tuple(f"t{tile[x]}" if x in tile else x for x in line.inputs)
        ending = (x for x in dict.fromkeys(line.inputs) if x in tile and last[x] == number)
        # Before the output gets its tile: an elementwise instruction may overwrite its input.
        free.extend(tile[name] for name in ending)
        out = line.out
        if out[0] == "v":
            tile[out] = free.pop() if free else len(set(tile.values()) | set(free))
            out = f"t{tile[out]}"
            if last[line.out] == number:
                free.append(tile[line.out])
        renamed.append(line._replace(out=out, inputs=inputs))
    return renamed
