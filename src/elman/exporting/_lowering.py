"""From torch operations to the nodes of a graph; what depends on weights alone is computed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from elman._errors import ConfigError
from elman.exporting._nodes import (
    ArrayNode,
    ConstantArray,
    Input,
    Join,
    Kind,
    Map,
    MatrixProduct,
    Number,
    StateBefore,
    StepGraph,
    View,
    WeightProduct,
    as_view,
    contiguous_strides,
    lies_in_order,
)
from elman.exporting._trace import Traced

aten = torch.ops.aten

_WORDS = """
mul div neg reciprocal abs sign relu maximum minimum where lt le gt ge eq ne logical_and logical_or
logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor sigmoid tanh exp expm1 log
log1p log2 log10 exp2 sqrt rsqrt sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc pow
floor ceil round trunc fmod atan2 hypot copysign isnan lgamma
"""
ELEMENTWISE = frozenset(_WORDS.split())
"""Operations number by number, by torch's name, which is a `Map`'s too."""

_WORDS = "clone copy _to_copy alias detach lift_fresh lift_fresh_copy contiguous"
COPIES = frozenset(_WORDS.split())

_WORDS = """
view _unsafe_view reshape permute transpose t expand slice select split split_with_sizes chunk
unsqueeze squeeze unbind diagonal as_strided unfold flatten unflatten movedim expand_as view_as
"""
VIEWS = frozenset(_WORDS.split())
FILLS: dict[str, tuple[int, Number | None]] = {
    "full": (1, None),
    "full_like": (1, None),
    "new_full": (2, None),
    "scalar_tensor": (0, None),
    "zeros": (0, 0.0),
    "zeros_like": (0, 0.0),
    "new_zeros": (0, 0.0),
    "ones": (0, 1.0),
    "ones_like": (0, 1.0),
    "new_ones": (0, 1.0),
}
"""What makes a tensor full of a number: which argument, or the number itself."""

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
"""What lowers an operation that has arguments of its own, by torch's name."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule; it gets the lowering, the traced node, and the arguments."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class StepLowering:
    def __init__(self, traced: Traced, names: dict[int, str]) -> None:
        self.traced, self.names = traced, names
        self.values: dict[fx.Node, Any] = {}
        self.constants: dict[Any, ConstantArray] = {}

    def graph(self) -> StepGraph:
        placeholders = [n for n in self.traced.module.graph.nodes if n.op == "placeholder"]
        first, *rest = placeholders
        x = Input(shape=shape_of(first), kind=kind_of(first))
        states = tuple(
            StateBefore(shape=shape_of(n), kind=kind_of(n), name=name)
            for n, name in zip(rest, self.traced.names, strict=True)
        )
        self.values |= dict(zip(placeholders, (x, *states), strict=True))
        results: list[Any] = []
        for node in self.traced.module.graph.nodes:
            if node.op == "get_attr":
                self.values[node] = getattr(self.traced.module, str(node.target)).detach()
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "output":
                results = [self.node(self.values[n]) for n in node.args[0]]
        output, *after = results
        for before, new in zip(states, after, strict=True):
            if before.size != new.size:
                raise ConfigError(
                    f"state {before.name} has {before.size} numbers before a step and {new.size} "
                    "after it: a state of one size is needed to export a model"
                )
        return StepGraph(x, states, output, tuple(map(_apart, states, after)))

    def _call(self, node: fx.Node) -> Any:
        parts = node.args, node.kwargs
        both: Any = [fx.node.map_arg(part, lambda n: self.values[n]) for part in parts]
        args, kwargs = both
        if node.target is operator.getitem:
            return args[0][args[1]]
        name = name_of(node)
        if name in FILLS:
            return self._filled(node, name, args)
        if not _has_node((args, kwargs)):
            return node.target(*args, **kwargs)  # type: ignore[operator]
        return self._rule_of(node, name)(node, *args, **kwargs)

    def _rule_of(self, node: fx.Node, name: str) -> Callable[..., Any]:
        """What makes nodes of an operation."""
        if name in VIEWS:
            return self._viewed
        if name in COPIES:
            return self._converted
        if name in ELEMENTWISE:
            return partial(self._elementwise, name)
        if name not in RULES:
            raise self.unknown(node)
        return partial(RULES[name], self)

    def _elementwise(self, op: str, node: fx.Node, *operands: Any, **options: Any) -> ArrayNode:
        return self.map(node, op, *operands, **options)

    def unknown(self, node: fx.Node, why: str = "") -> ConfigError:
        """The error for an operation that cannot be printed."""
        line = node.meta.get("line", "")
        inside = f" in {line}" if line else ""
        return ConfigError(
            f"{node.target}{why and ' ' + why} cannot be exported{inside}: write the step with "
            "other operations"
        )

    def node(self, value: Any) -> ArrayNode:
        """A value as a node: weights become constants, equal ones the same."""
        if isinstance(value, ArrayNode):
            return value
        if not isinstance(value, Tensor):
            raise ConfigError(f"a step of tensors is needed to export a model, got {value!r}")
        address = value.untyped_storage().data_ptr()
        key = address, value.storage_offset(), tuple(value.shape), value.stride(), value.dtype
        if key not in self.constants:
            kind: Kind = "float" if value.is_floating_point() else "int"
            name = self.names.get(address, "")
            self.constants[key] = ConstantArray(
                shape=tuple(value.shape), kind=kind, value=value, name=name
            )
        return self.constants[key]

    def operand(self, value: Any) -> ArrayNode | Number:
        """A value as an operand: a constant of one number is that number."""
        if isinstance(value, Tensor) and value.numel() == 1:
            number: Number = value.item()
            return number
        return value if isinstance(value, (float, int, bool)) else self.node(value)

    def _filled(self, node: fx.Node, name: str, args: Sequence[Any]) -> Tensor:
        place, number = FILLS[name]
        value = node.meta["val"]
        return torch.full(tuple(value.shape), args[place] if number is None else number).to(
            value.dtype
        )

    def map(self, node: fx.Node, op: str, *operands: Any, **options: Any) -> ArrayNode:
        """An operation number by number."""
        if options or any(isinstance(o, (str, list, tuple)) or o is None for o in operands):
            raise self.unknown(node, f"with {options or operands}")
        return Map(
            shape=shape_of(node),
            kind=kind_of(node),
            line=node.meta.get("line", ""),
            op=op,
            operands=tuple(map(self.operand, operands)),
        )

    def _converted(self, node: fx.Node, source: Any, *_: Any, **__: Any) -> ArrayNode:
        value = self.node(source)
        kind = kind_of(node)
        if value.kind == kind:
            return value
        if kind == "int" and node.meta["val"].dtype != torch.bool:
            raise self.unknown(node, "to whole numbers")
        op, operands = ("ne", (value, 0.0)) if kind == "int" else ("copy", (value,))
        return Map(shape=value.shape, kind=kind, line=value.line, op=op, operands=operands)

    def _viewed(self, node: fx.Node, *args: Any, **kwargs: Any) -> Any:
        """Views are computed by torch, of an array of nothing that lies as the node does."""
        view = as_view(self.node(args[0]))
        base = view.base
        empty = torch.empty(max(1, base.size), dtype=torch.uint8)
        lying = empty.as_strided(view.shape, view.strides, view.offset)
        result = node.target(lying, *args[1:], **kwargs)  # type: ignore[operator]
        line = node.meta.get("line", "")

        def of(piece: Tensor) -> ArrayNode:
            if piece.untyped_storage().data_ptr() != empty.untyped_storage().data_ptr():
                copy = self.in_order(view, line)
                return View(
                    shape=tuple(piece.shape), kind=view.kind, line=line, base=copy, offset=0,
                    strides=contiguous_strides(piece.shape),
                )  # fmt: skip
            return View(
                shape=tuple(piece.shape), kind=view.kind, line=line, base=base,
                offset=int(piece.storage_offset()), strides=piece.stride(),
            )  # fmt: skip

        return [of(piece) for piece in result] if isinstance(result, (list, tuple)) else of(result)

    def in_order(self, node: ArrayNode, line: str = "") -> ArrayNode:
        """The array with its numbers one after the other, copied where they do not lie so."""
        if not isinstance(node, View) or lies_in_order(node):
            return node
        return Map(shape=node.shape, kind=node.kind, line=line, op="copy", operands=(node,))

    def product(self, node: fx.Node, source: Any, matrix: Any, bias: Any = None) -> ArrayNode:
        """Rows (M, K) by a matrix (K, N), with a bias (N,) or nothing."""
        line = node.meta.get("line", "")
        if isinstance(source, Tensor) and not isinstance(matrix, Tensor):  # W h, h a column
            if self.node(matrix).shape[1] != 1 or bias is not None:
                raise self.unknown(node, "of a weight by several columns")
            turned = _column_as_row(self.node(matrix))
            row = self.product(node, turned, source.t())
            return View(shape=(row.shape[1], 1), base=row, offset=0, strides=(1, 1), line=line)
        if not isinstance(matrix, Tensor):
            left, right = as_view(self.node(source)), as_view(self.node(matrix))
            shape = left.shape[0], right.shape[1]
            result: ArrayNode = MatrixProduct(shape=shape, left=left, right=right, line=line)
            return result if bias is None else self.map(node, "add", result, bias)
        rows = self.in_order(self.node(source), line)
        count, width = matrix.shape
        table = self.node(matrix)
        assert isinstance(table, ConstantArray)
        added: Any = None
        if isinstance(bias, Tensor) and bias.numel() == width:
            added = self.node(bias.reshape(width))
            assert isinstance(added, ConstantArray)
        pieces = []
        for number in range(rows.shape[0]):
            view = as_view(rows)
            part = View(
                shape=(1, count), base=view.base, offset=view.offset + number * count,
                strides=(count, 1), line=line,
            )  # fmt: skip
            pieces.append(
                WeightProduct(shape=(1, width), source=part, matrix=table, bias=added, line=line)
            )
        joined = self.joined(pieces, 0, line)
        if bias is None or added is not None:
            return joined
        return Map(shape=joined.shape, op="add", operands=(joined, self.operand(bias)), line=line)

    def joined(self, parts: Sequence[ArrayNode], dim: int, line: str) -> ArrayNode:
        """The parts one after the other."""
        first = parts[0]
        if len(parts) == 1:
            return first
        shape = list(first.shape)
        shape[dim] = sum(part.shape[dim] for part in parts)
        return Join(
            shape=tuple(shape), kind=first.kind, line=line, dim=dim,
            parts=tuple(map(as_view, parts)),
        )  # fmt: skip


def _apart(before: StateBefore, after: ArrayNode) -> ArrayNode:
    """A state that becomes what another one was is copied before that one is overwritten."""
    base = after.base if isinstance(after, View) else after
    if after is before or not isinstance(base, StateBefore):
        return after
    return Map(shape=after.shape, kind=after.kind, line=after.line, op="copy", operands=(after,))


def _column_as_row(node: ArrayNode) -> View:
    view = as_view(node)
    return View(
        shape=(1, view.shape[0]), base=view.base, offset=view.offset, line=view.line,
        strides=(view.shape[0] * view.strides[0], view.strides[0]),
    )  # fmt: skip


def name_of(node: fx.Node) -> str:
    """The operation, without aten and overload."""
    return str(getattr(node.target, "overloadpacket", node.target)).removeprefix("aten.")


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """The shape of what an operation gives."""
    return tuple(node.meta["val"].shape)


def kind_of(node: fx.Node) -> Kind:
    return "float" if node.meta["val"].dtype.is_floating_point else "int"


def _has_node(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_node, value))
    return (
        any(map(_has_node, value.values()))
        if isinstance(value, dict)
        else isinstance(value, ArrayNode)
    )
