"""From torch's operations to expressions: what the native instruction set can say.

A rule lowers the operations of some names. It names every argument that it takes, and the kinds of
result that it is right for; whatever else comes is refused by name.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, fx

from elman.engine.compiler._ir import Graph
from elman.engine.compiler._kinds import DtypeKind, Types, kind_of, tensors_of


class Untraceable(Exception):
    """An operation that no program can express, and its node in the trace."""

    def __init__(self, reason: str, node: fx.Node | None = None) -> None:
        super().__init__(reason)
        self.node = node


@dataclass(frozen=True)
class Tiles:
    """A tensor in the graph: a tile for each block of units, or one number per row.

    The traced tensor of four gates, (batch, 4 * units), is four tiles (batch, units) here. So
    ``cat``, ``chunk`` and slices of gates cost nothing: they only pick tiles.
    """

    parts: tuple[int, ...]


@dataclass(frozen=True)
class CellTensor:
    """A parameter or buffer of the cell, until its use says whether it is a matrix or numbers."""

    number: int
    shape: tuple[int, ...]


class Lowering:
    """Walks a traced graph. ``batch`` and ``units`` are the sizes it was traced with.

    Args:
        graph: what to add to.
        dtype: the float type that the program computes in.
        load: the value of a tensor of the cell's own, where it is not a matrix.
        matrix: the number in the program of such a tensor, or of its transpose, as a matrix.
    """

    def __init__(
        self,
        graph: Graph,
        batch: int,
        units: int,
        dtype: torch.dtype,
        load: Callable[[CellTensor], Tiles],
        matrix: Callable[[CellTensor, bool], int],
    ) -> None:
        self.graph, self.load, self.matrix = graph, load, matrix
        self.batch, self.units, self.dtype = batch, units, dtype
        self.env: dict[fx.Node, Any] = {}
        self.types = Types(dtype, self.known)
        # The nodes that depend on a cotangent, and so linearly: there a product is the gradient of
        # one, and a sum over the batch is that of a parameter.
        self.linear: set[fx.Node] = set()

    def run(self, module: fx.GraphModule, leaves: Sequence[Any], cotangents: int) -> list[Any]:
        """The values of the graph's outputs; the last ``cotangents`` leaves are cotangents."""
        placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
        self.env.update(zip(placeholders, leaves, strict=True))
        self.linear.update(placeholders[len(placeholders) - cotangents :] if cotangents else ())
        for node in module.graph.nodes:
            if node.op == "output":
                return [self.env[n] if isinstance(n, fx.Node) else n for n in node.args[0]]
            if node.op == "get_attr":
                self.env[node] = self._made_in_the_step(node, getattr(module, node.target))
            if node.op == "call_function":
                if any(n in self.linear for n in node.all_input_nodes):
                    self.linear.add(node)
                self.env[node] = self._call(node)
        raise AssertionError("a graph has an output")

    def _made_in_the_step(self, node: fx.Node, tensor: Tensor) -> Tiles:
        """A tensor of one number that the step itself creates; those from outside were refused."""
        if tensor.numel() != 1 or tensor.is_complex():
            raise Untraceable("a tensor that is neither a parameter nor a buffer of the cell", node)
        node.meta["val"], number = tensor, tensor.item()
        if self.types.kind(node) is DtypeKind.WHOLE:
            self.types.ranges[node] = (number, number)
        return self.value(number)

    # ---- arguments ----

    def any(self, x: Any) -> Any:
        """Whatever a node was lowered to: tiles, a matrix ..."""
        return self.env[x] if isinstance(x, fx.Node) else self.value(x)

    def value(self, x: Any) -> Tiles:
        """The tiles of an argument, which may be a number."""
        if isinstance(x, Tiles):
            return x
        if not isinstance(x, fx.Node):
            return Tiles((self.graph.constant(_number(x)),))
        value = self.env[x]
        if isinstance(value, CellTensor):
            value = self.load(value)
        if not isinstance(value, Tiles):
            raise Untraceable("a matrix is used for more than to be multiplied by", x)
        return value

    def known(self, x: Any) -> float | None:
        """The one number that a tensor is full of, where there is one."""
        numbers = {self.graph.known(part) for part in self.value(x).parts}
        return numbers.pop() if len(numbers) == 1 else None

    # ---- operations ----

    def _call(self, node: fx.Node) -> Any:
        target = node.target
        if target is operator.getitem:
            return self._item(node)
        name = str(getattr(target, "overloadpacket", target)).removeprefix("aten.")
        in_place = name.endswith("_") and not name.endswith("__")
        name = name.rstrip("_") if in_place else name
        if name not in RULES:
            raise Untraceable(f"{target} is not in the native instruction set", node)
        result = self._lowered(node, name, RULES[name])
        if in_place:  # by torch's own decompositions: the user's were refused before
            self.env[node.args[0]] = result  # type: ignore[index]
        return result

    def _item(self, node: fx.Node) -> Any:
        source, number = node.args
        assert isinstance(source, fx.Node)
        if source in self.types.ranges:
            self.types.ranges[node] = self.types.ranges[source]
        return self.env[source][number]

    def _lowered(self, node: fx.Node, name: str, one: Rule) -> Any:
        args, options = written(node)
        if not one.takes(args, options):
            arguments = [f"{k}={v!r}" for k, v in _named(node, args, options)]
            raise Untraceable(f"{node.target} with {', '.join(arguments)} has no native form", node)
        self._refuse(self.types.wrong_operands(node, one.gives, one.moves), node)
        result = self._narrowed(node, one.lower(self, node, *args, **options))
        self._refuse(self.types.wrong_result(node, name, one.moves), node)
        values = result if isinstance(result, list) else [result]
        for value, tensor in zip(values, tensors_of(node), strict=False):
            if isinstance(value, Tiles):
                self._check(node, value, tensor)
        return result

    def _narrowed(self, node: fx.Node, result: Any) -> Any:
        """Rounds to float32 where that is what torch computes in."""
        narrow = any(kind_of(t.dtype, self.dtype) is DtypeKind.NARROW for t in tensors_of(node))
        return self.map("narrow", result) if narrow and isinstance(result, Tiles) else result

    def _refuse(self, reason: str | None, node: fx.Node) -> None:
        if reason is not None:
            raise Untraceable(reason, node)

    def _check(self, node: fx.Node, value: Tiles, tensor: Tensor) -> None:
        """Refuses a shape in which rows or units are mixed: units must stay last."""
        shape = tuple(tensor.shape)
        if all(self.graph.known(part) is not None for part in value.parts):
            return  # a constant is the same in every row and unit
        if kind_of(tensor.dtype, self.dtype) is DtypeKind.FOREIGN:
            raise Untraceable(
                f"{node.target} to {tensor.dtype}: programs compute in one dtype", node
            )
        if not shape:
            return
        # Traces have two sizes of batch: a dimension of that size is the batch in both, or neither.
        others, last = math.prod(shape[:-1]), shape[-1]
        row = self.is_row(value)
        whole = row or last == len(value.parts) * self.units
        if others not in (1, self.batch) or not whole or (row and others == self.batch == last):
            raise Untraceable(f"{node.target} to shape {shape} mixes units or rows", node)

    # ---- the parts of rules ----

    def map(self, op: str, *inputs: Any) -> Tiles:
        """An elementwise instruction on nodes, values and numbers."""
        values = list(map(self.value, inputs))
        # One tile, or row, against several is broadcast, as torch does it.
        widths = [len(v.parts) for v in values]
        width = max(widths) if all(widths) else 0
        parts = [v.parts if len(v.parts) == width else v.parts * width for v in values]
        return Tiles(tuple(self.graph.apply(op, *each) for each in zip(*parts, strict=True)))

    def truth(self, x: Any) -> Tiles:
        """1 where ``x`` is not 0, as torch takes it for a condition."""
        if self.types.kind(x) is DtypeKind.BOOL:
            return self.value(x)
        return self.map("eq", self.map("eq", x, 0.0), 0.0)

    def is_row(self, value: Tiles) -> bool:
        """Whether this is one number per row."""
        return bool(value.parts) and self.graph.nodes[value.parts[0]].row


def _number(x: Any) -> float:
    try:
        return float(x)
    except (OverflowError, TypeError):
        raise Untraceable(f"{x!r} is no number that a program can hold") from None


@dataclass(frozen=True)
class Rule:
    """How operations of a name are lowered.

    Attributes:
        lower: takes the lowering, the node, and the arguments that it names.
        gives: the kinds of result that it is right for.
        moves: whether it only takes numbers from one place, or type, to another.
    """

    lower: Callable[..., Any]
    gives: frozenset[DtypeKind]
    moves: bool

    def takes(self, args: Sequence[Any], options: dict[str, Any]) -> bool:
        """Whether the rule accepts these arguments."""
        try:
            inspect.signature(self.lower).bind(None, None, *args, **options)
        except TypeError:
            return False
        return True


RULES: dict[str, Rule] = {}


F = TypeVar("F", bound=Callable[..., Any])


def rule(*names: str, gives: str = "real", moves: bool = False) -> Callable[[F], F]:
    """Registers how the operations of these names are lowered; see :class:`Rule`."""
    kinds = frozenset(DtypeKind if moves else map(DtypeKind, gives.split()))

    def register(lower: F) -> F:
        RULES.update(dict.fromkeys(names, Rule(lower, kinds, moves)))
        return lower

    return register


def written(node: fx.Node) -> tuple[list[Any], dict[str, Any]]:
    """A node's arguments without defaults, so that a rule need not name those that nobody sets."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    defaults = [a.default_value for a in schema if not a.kwarg_only]
    optional = [a.has_default_value() for a in schema if not a.kwarg_only]
    args = list(node.args)
    while args and optional[len(args) - 1] and _same(args[-1], defaults[len(args) - 1]):
        args.pop()
    by_name = {a.name: a.default_value for a in schema if a.has_default_value()}
    options = {
        name: value
        for name, value in node.kwargs.items()
        if not (name in by_name and _same(value, by_name[name]))
    }
    return args, options


def _same(a: Any, b: Any) -> bool:
    return not isinstance(a, fx.Node) and type(a) is type(b) and bool(a == b)


def _named(node: fx.Node, args: list[Any], options: dict[str, Any]) -> list[tuple[str, Any]]:
    """The arguments that are no tensors, by name."""
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    pairs = [*zip(names, args, strict=False), *options.items()]
    return [(name, value) for name, value in pairs if not isinstance(value, fx.Node)]
