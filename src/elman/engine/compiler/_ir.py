"""What a cell computes, as a graph of instructions on values without a place yet.

Values are tiles (a number per row and unit) or rows (a number per row). Equal expressions are one
node (value numbering), and constants are folded: autograd multiplies by 1 and adds 0 a great deal.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from elman.engine.compiler._program import ELEMENTWISE, REDUCTIONS, Block

LEAVES = ("input", "previous", "cotangent")

_WITH_VALUE_RIGHT = {
    "add": "add_value",
    "mul": "mul_value",
    "lt": "lt_value",
    "le": "le_value",
    "eq": "eq_value",
    "ne": "ne_value",
}
_WITH_VALUE_LEFT = {
    "add": "add_value",
    "mul": "mul_value",
    "sub": "sub_from",
    "div": "div_into",
    "lt": "gt_value",
    "le": "ge_value",
    "eq": "eq_value",
    "ne": "ne_value",
}
_KNOWN: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "copy": lambda a: a,
    "narrow": lambda a: ctypes.c_float(a).value,
    "lt": lambda a, b: float(a < b),
    "le": lambda a, b: float(a <= b),
    "eq": lambda a, b: float(a == b),
    "ne": lambda a, b: float(a != b),
}


_LEAST = 1e-30  # a smaller number's reciprocal may be infinite


class Node(NamedTuple):
    """One value: a leaf (gate, state, gradient; ``slot`` says which) or an instruction's result."""

    op: str
    inputs: tuple[int, ...]
    value: float
    slot: int
    row: bool


class Graph:
    """Expressions in the order in which they can be computed."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.blocks: list[tuple[Block, ...]] = []  # of each product: its slot is the place here
        self._known: dict[tuple[Node, float], int] = {}

    def add(
        self, op: str, *inputs: int, value: float = 0.0, slot: int = -1, row: bool = False
    ) -> int:
        """The number of this node, which is added if it is new."""
        node = Node(op, inputs, float(value), slot, row)
        key = (node, math.copysign(1, value))  # 0 and -0 are equal, and not the same
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(node)
        return self._known[key]

    def constant(self, value: float) -> int:
        """A node for a number: a row until a tile needs it."""
        return self.add("constant", value=value, row=True)

    def apply(self, op: str, *inputs: int) -> int:  # noqa: PLR0911 - one return for each way
        """An elementwise instruction, with constants folded."""
        if op == "quotient":
            return self._quotient(*inputs)
        values = [self.known(i) for i in inputs]
        if op in _KNOWN and None not in values:
            return self.constant(_KNOWN[op](*values))
        if op == "where" and values[0] is not None:
            return inputs[1] if values[0] else inputs[2]
        if len(inputs) == 2:
            left, right = values
            # With a constant on one side, an instruction reads one tile instead of two.
            if right is not None and op == "sub":
                return self.apply("add", inputs[0], self.constant(-right))
            if right is not None and op == "div" and _LEAST < abs(right) < 1 / _LEAST:
                return self.apply("mul", inputs[0], self.constant(1 / right))
            if right is not None and op in _WITH_VALUE_RIGHT:
                return self._with_value(_WITH_VALUE_RIGHT[op], inputs[0], right)
            if left is not None and op in _WITH_VALUE_LEFT:
                return self._with_value(_WITH_VALUE_LEFT[op], inputs[1], left)
        # Sums of products of gradients are kept in a normal form, see _add_flow_back.
        if op == "add" and any(self._flow_back(i)[1] is not None for i in inputs):
            return self._add_flow_back(*map(self.as_tile, inputs))
        row = all(self.nodes[i].row for i in inputs)
        return self.add(op, *(inputs if row else map(self.as_tile, inputs)), row=row)

    def _with_value(self, op: str, x: int, value: float) -> int:
        if (op, value) in (("mul_value", 1.0), ("add_value", 0.0)):
            return x
        return self.add(op, x, value=value, row=self.nodes[x].row)

    def as_tile(self, node: int) -> int:
        """``node``, spread over the units if it is a row."""
        it = self.nodes[node]
        if not it.row:
            return node
        if it.op == "constant":
            return self.add("constant", value=it.value)
        return self.add("expand", node)

    def row_sum(self, node: int) -> int:
        """The sum of a tile over its units."""
        return self.reduced("row_sum", node)

    def reduced(self, op: str, node: int) -> int:
        """The reduction ``op`` of a tile over its units: one number for each row."""
        return self.add(op, self.as_tile(node), row=True)

    def _quotient(self, a: int, b: int) -> int:
        """A true division, where a product with the reciprocal would round differently."""
        row = self.nodes[a].row and self.nodes[b].row
        return self.add("div", *((a, b) if row else map(self.as_tile, (a, b))), row=row)

    def product(self, source: int, block: Block) -> int:
        """The tile ``source`` times the transpose of a block, as F.linear has it."""
        return self.add("product", self.as_tile(source), slot=self._slot((block,)))

    def flow_back(self, terms: Sequence[tuple[int, Block]]) -> int:
        """The sum of gradients times blocks: the gradient of what was multiplied by them."""
        terms = [term for term in terms if self.known(term[0]) != 0]
        if not terms:
            return self.constant(0.0)
        nodes, blocks = zip(*sorted((self.as_tile(n), block) for n, block in terms), strict=True)
        return self.add("flow_back", *nodes, slot=self._slot(blocks))

    def terms(self, node: int) -> list[tuple[int, Block]]:
        """The gradients and blocks that :meth:`flow_back` sums over."""
        it = self.nodes[node]
        return list(zip(it.inputs, self.blocks[it.slot], strict=True))

    def _slot(self, blocks: tuple[Block, ...]) -> int:
        if blocks not in self.blocks:
            self.blocks.append(blocks)
        return self.blocks.index(blocks)

    def _flow_back(self, node: int) -> tuple[int | None, int | None]:
        """Splits a node into (rest, product of gradients); None for what is not there."""
        it = self.nodes[node]
        if it.op == "flow_back":
            return None, node
        if it.op == "add":
            for position, i in enumerate(it.inputs):
                if self.nodes[i].op == "flow_back":
                    return it.inputs[1 - position], i
        return node, None

    def _add_flow_back(self, *inputs: int) -> int:
        """A sum in normal form: all products in one, added last.

        As one it is a single call of the GEMM; as the last term it can be left to the next step of
        the backward (``Builder._carried``).
        """
        others, products = zip(*map(self._flow_back, inputs), strict=True)
        product = self.flow_back([t for p in products if p is not None for t in self.terms(p)])
        rest = [other for other in others if other is not None]
        if not rest:
            return product
        return self.add("add", self.apply("add", *rest) if len(rest) > 1 else rest[0], product)

    def without_flow_back(self, node: int) -> tuple[int, int | None]:
        """Splits a node into the rest, 0 if there is none, and its product of gradients."""
        rest, product = self._flow_back(node)
        return (self.as_tile(self.constant(0.0)) if rest is None else rest), product

    def known(self, node: int) -> float | None:
        """The value of a constant."""
        it = self.nodes[node]
        return it.value if it.op == "constant" else None

    def closure(self, outputs: Iterable[int], available: Iterable[int] = ()) -> set[int]:
        """All nodes that must be computed for ``outputs`` where ``available`` are in memory."""
        stop, visited, stack = set(available), set[int](), list(outputs)
        while stack:
            node = stack.pop()
            if node not in stop and node not in visited:
                visited.add(node)
                stack.extend(self.nodes[node].inputs)
        return visited


_BY_LANES = (
    "pow", "fmod", "atan2", "hypot", "log2", "log10", "exp2", "tan", "asin", "acos", "atan", "sinh",
    "cosh", "asinh", "acosh", "atanh", "erfc", "lgamma",
)  # fmt: skip
# What an instruction costs for one vector, in cycles: for most, that of reading and writing the
# tile. The scheduler weighs it against SAVE_COST. _BY_LANES call the C library for each lane. A
# product costs more than saving all that could be saved, so none is computed again.
COST = {
    **dict.fromkeys(ELEMENTWISE, 1.5),
    **dict.fromkeys(("exp", "expm1", "sigmoid", "tanh", "div", "div_into", "sqrt", "rsqrt"), 10.0),
    **dict.fromkeys(("log", "log1p", "sin", "cos", "erf"), 18.0),
    **dict.fromkeys(("floor", "ceil", "round", "trunc", "narrow"), 20.0),
    **dict.fromkeys(_BY_LANES, 400.0),
    **dict.fromkeys(("expand", "unit", "scalar", "constant"), 1.0),
    **dict.fromkeys(REDUCTIONS, 6.0),
    **dict.fromkeys(LEAVES, 0.0),
    **dict.fromkeys(("product", "flow_back"), 1000.0),
}
