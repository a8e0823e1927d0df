"""From torch operations to the nodes of a graph; what depends on weights alone is computed here."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from elman._errors import ConfigError
from elman.exporting._nodes import (
    Constant,
    Graph,
    Input,
    Join,
    Kind,
    Lookup,
    Map,
    MatrixProduct,
    Node,
    Number,
    Product,
    Reduction,
    StateBefore,
    View,
    as_view,
    contiguous_strides,
    lies_in_order,
)
from elman.exporting._trace import Traced

aten = torch.ops.aten

ELEMENTWISE = frozenset(
    "mul div neg reciprocal abs sign relu maximum minimum where lt le gt ge eq ne logical_and "
    "logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor sigmoid "
    "tanh exp expm1 log log1p log2 log10 exp2 sqrt rsqrt sin cos tan asin acos atan sinh cosh "
    "asinh acosh atanh erf erfc pow floor ceil round trunc fmod atan2 hypot copysign isnan "
    "lgamma".split()
)
"""Operations number by number, by torch's name, which is a `Map`'s too."""

COPIES = frozenset(
    "clone copy _to_copy alias detach lift_fresh lift_fresh_copy contiguous".split()
)
VIEWS = frozenset(
    "view _unsafe_view reshape permute transpose t expand slice select split split_with_sizes "
    "chunk unsqueeze squeeze unbind diagonal as_strided unfold flatten unflatten movedim "
    "expand_as view_as".split()
)
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

Value = Node | Tensor


def lower(traced: Traced, names: dict[int, str]) -> Graph:
    """The graph of a traced step.

    Args:
        traced: the step.
        names: of the model's parameters and buffers, by the address of their storage.

    Raises:
        ConfigError: an operation that no graph has; the message names it and its line.
    """
    return _Lowering(traced, names).graph()


class _Lowering:
    def __init__(self, traced: Traced, names: dict[int, str]) -> None:
        self.traced, self.names = traced, names
        self.values: dict[fx.Node, Any] = {}
        self.constants: dict[Any, Constant] = {}

    def graph(self) -> Graph:
        placeholders = [n for n in self.traced.module.graph.nodes if n.op == "placeholder"]
        first, *rest = placeholders
        x = Input(shape=_shape(first), kind=_kind(first))
        states = tuple(
            StateBefore(shape=_shape(n), kind=_kind(n), name=name)
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
        return Graph(x, states, output, tuple(map(_apart, states, after)))

    def _call(self, node: fx.Node) -> Any:
        args, kwargs = (
            fx.node.map_arg(part, lambda n: self.values[n]) for part in (node.args, node.kwargs)
        )
        if node.target is operator.getitem:
            return args[0][args[1]]
        name = _name(node)
        if name in FILLS:
            return self._filled(node, name, args)
        if not _has_node((args, kwargs)):
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if name in VIEWS:
            return self._viewed(node, args, kwargs)
        if name in COPIES:
            return self._converted(node, self.node(args[0]))
        if name in ELEMENTWISE:
            return self._map(node, name, *args, **kwargs)
        rule = _RULES.get(name)
        if rule is None:
            raise self.unknown(node)
        return rule(self, node, *args, **kwargs)

    def unknown(self, node: fx.Node, why: str = "") -> ConfigError:
        """The error for an operation that cannot be printed."""
        line = node.meta.get("line", "")
        inside = f" in {line}" if line else ""
        return ConfigError(
            f"{node.target}{why and ' ' + why} cannot be exported{inside}: write the step with "
            "other operations"
        )

    def node(self, value: Any) -> Node:
        """A value as a node: weights become constants, equal ones the same."""
        if isinstance(value, Node):
            return value
        if not isinstance(value, Tensor):
            raise ConfigError(f"a step of tensors is needed to export a model, got {value!r}")
        address = value.untyped_storage().data_ptr()
        key = address, value.storage_offset(), tuple(value.shape), value.stride(), value.dtype
        if key not in self.constants:
            kind: Kind = "float" if value.is_floating_point() else "int"
            name = self.names.get(address, "")
            self.constants[key] = Constant(
                shape=tuple(value.shape), kind=kind, value=value, name=name
            )
        return self.constants[key]

    def operand(self, value: Any) -> Node | Number:
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

    def _map(self, node: fx.Node, op: str, *operands: Any, **options: Any) -> Node:
        if options or any(isinstance(o, (str, list, tuple)) or o is None for o in operands):
            raise self.unknown(node, f"with {options or operands}")
        return Map(
            shape=_shape(node),
            kind=_kind(node),
            line=node.meta.get("line", ""),
            op=op,
            operands=tuple(map(self.operand, operands)),
        )

    def _converted(self, node: fx.Node, value: Node) -> Node:
        kind = _kind(node)
        if value.kind == kind:
            return value
        if kind == "int" and node.meta["val"].dtype != torch.bool:
            raise self.unknown(node, "to whole numbers")
        op, operands = ("ne", (value, 0.0)) if kind == "int" else ("copy", (value,))
        return Map(shape=value.shape, kind=kind, line=value.line, op=op, operands=operands)

    def _viewed(self, node: fx.Node, args: Sequence[Any], kwargs: Any) -> Any:
        """Views are computed by torch, of an array of nothing that lies as the node does."""
        view = as_view(self.node(args[0]))
        base = view.base
        empty = torch.empty(max(1, base.size), dtype=torch.uint8)
        lying = empty.as_strided(view.shape, view.strides, view.offset)
        result = node.target(lying, *args[1:], **kwargs)  # type: ignore[operator]
        line = node.meta.get("line", "")

        def of(piece: Tensor) -> Node:
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

    def in_order(self, node: Node, line: str = "") -> Node:
        """The array with its numbers one after the other, copied where they do not lie so."""
        if not isinstance(node, View) or lies_in_order(node):
            return node
        return Map(shape=node.shape, kind=node.kind, line=line, op="copy", operands=(node,))

    def product(self, node: fx.Node, source: Any, matrix: Any, bias: Any = None) -> Node:
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
            result: Node = MatrixProduct(shape=shape, left=left, right=right, line=line)
            return result if bias is None else self._map(node, "add", result, bias)
        rows = self.in_order(self.node(source), line)
        count, width = matrix.shape
        table = self.node(matrix)
        assert isinstance(table, Constant)
        added = None
        if isinstance(bias, Tensor) and bias.numel() == width:
            added = self.node(bias.reshape(width))
            assert isinstance(added, Constant)
        pieces = []
        for number in range(rows.shape[0]):
            view = as_view(rows)
            part = View(
                shape=(1, count), base=view.base, offset=view.offset + number * count,
                strides=(count, 1), line=line,
            )  # fmt: skip
            pieces.append(
                Product(shape=(1, width), source=part, matrix=table, bias=added, line=line)
            )
        joined = self.joined(pieces, 0, line)
        if bias is None or added is not None:
            return joined
        return Map(
            shape=joined.shape, op="add", operands=(joined, self.operand(bias)), line=line
        )

    def joined(self, parts: Sequence[Node], dim: int, line: str) -> Node:
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


def _apart(before: StateBefore, after: Node) -> Node:
    """A state that becomes what another one was is copied before that one is overwritten."""
    base = after.base if isinstance(after, View) else after
    if after is before or not isinstance(base, StateBefore):
        return after
    return Map(shape=after.shape, kind=after.kind, line=after.line, op="copy", operands=(after,))


def _column_as_row(node: Node) -> View:
    view = as_view(node)
    return View(
        shape=(1, view.shape[0]), base=view.base, offset=view.offset, line=view.line,
        strides=(view.shape[0] * view.strides[0], view.strides[0]),
    )  # fmt: skip


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "overloadpacket", node.target)).removeprefix("aten.")


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _kind(node: fx.Node) -> Kind:
    return "float" if node.meta["val"].dtype.is_floating_point else "int"


def _has_node(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_node, value))
    return any(map(_has_node, value.values())) if isinstance(value, dict) else isinstance(value, Node)


# ---- operations with arguments of their own ----

Rule = Callable[..., Any]
_RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


@_rule("add")
def _add(low: _Lowering, node: fx.Node, a: Any, b: Any, *, alpha: Number = 1) -> Node:
    if alpha == 1:
        return low._map(node, "add", a, b)
    return low._map(node, "add", a, low._map(node, "mul", b, alpha))


@_rule("sub")
def _sub(low: _Lowering, node: fx.Node, a: Any, b: Any, *, alpha: Number = 1) -> Node:
    return low._map(node, "sub", a, b if alpha == 1 else low._map(node, "mul", b, alpha))


@_rule("rsub")
def _rsub(low: _Lowering, node: fx.Node, a: Any, b: Any, alpha: Number = 1) -> Node:
    return low._map(node, "sub", b, a if alpha == 1 else low._map(node, "mul", a, alpha))


@_rule("clamp", "clamp_min", "clamp_max")
def _clamp(
    low: _Lowering, node: fx.Node, a: Any, least: Any = None, most: Any = None
) -> Node:
    if _name(node) == "clamp_max":
        least, most = None, least
    result = low.node(a)
    if least is not None:
        result = low._map(node, "maximum", result, least)
    return result if most is None else low._map(node, "minimum", result, most)


@_rule("masked_fill")
def _masked_fill(low: _Lowering, node: fx.Node, a: Any, where: Any, value: Any) -> Node:
    return low._map(node, "where", where, value, a)


@_rule("mm")
def _mm(low: _Lowering, node: fx.Node, a: Any, b: Any) -> Node:
    return low.product(node, a, b)


@_rule("addmm")
def _addmm(
    low: _Lowering, node: fx.Node, bias: Any, a: Any, b: Any, *, beta: Number = 1, alpha: Number = 1
) -> Node:
    if beta != 1 or alpha != 1:
        raise low.unknown(node, f"with beta={beta}, alpha={alpha}")
    return low.product(node, a, b, bias)


@_rule("bmm")
def _bmm(low: _Lowering, node: fx.Node, a: Any, b: Any) -> Node:
    def pieces(value: Any) -> list[Any]:
        if isinstance(value, Tensor):
            return list(value.unbind(0))
        view = as_view(low.node(value))
        return [
            View(
                shape=view.shape[1:], base=view.base, offset=view.offset + n * view.strides[0],
                strides=view.strides[1:], line=view.line,
            )
            for n in range(view.shape[0])
        ]  # fmt: skip

    products = [low.product(node, x, y) for x, y in zip(pieces(a), pieces(b), strict=True)]
    line = node.meta.get("line", "")
    return low.joined([_with_shape(p, (1, *p.shape)) for p in products], 0, line)


def _with_shape(node: Node, shape: tuple[int, ...]) -> View:
    """The array, whose numbers lie in order, with dimensions of size 1 more or fewer."""
    view = as_view(node)
    return View(
        shape=shape, kind=view.kind, line=view.line, base=view.base, offset=view.offset,
        strides=contiguous_strides(shape),
    )  # fmt: skip


@_rule("sum", "mean", "amax", "amin")
def _reduce(
    low: _Lowering, node: fx.Node, a: Any, dims: Any = None, keepdim: bool = False, *,
    dtype: Any = None,
) -> Node:  # fmt: skip
    view, name = as_view(low.node(a)), _name(node)
    if view.kind == "int":
        raise low.unknown(node, "of whole numbers")
    chosen = [dims] if isinstance(dims, int) else list(dims or [])
    over = tuple(d % len(view.shape) for d in chosen) or tuple(range(len(view.shape)))
    line = node.meta.get("line", "")
    op = {"amax": "max", "amin": "min"}.get(name, "sum")
    shape = _shape(node)
    result: Node = Reduction(shape=shape, op=op, source=view, over=over, line=line)  # type: ignore[arg-type]
    if name != "mean":
        return result
    count = view.size // max(1, result.size)
    return Map(shape=shape, op="div", operands=(result, float(count)), line=line)


@_rule("var", "var_mean")
def _variance(
    low: _Lowering, node: fx.Node, a: Any, dims: Any = None, *, correction: Any = 1,
    keepdim: bool = False,
) -> Any:  # fmt: skip
    view = as_view(low.node(a))
    variance, average, _ = _moments(low, node, view, dims or range(len(view.shape)), correction)
    several = isinstance(node.meta["val"], (list, tuple))
    shape = tuple((node.meta["val"][0] if several else node.meta["val"]).shape)
    of_variance = _with_shape(variance, shape)
    return (of_variance, _with_shape(average, shape)) if several else of_variance


@_rule("native_layer_norm")
def _layer_norm(
    low: _Lowering, node: fx.Node, a: Any, shape: Sequence[int], gain: Any, shift: Any, eps: float
) -> tuple[Node, Node, Node]:
    view, line = as_view(low.node(a)), node.meta.get("line", "")
    dims = range(len(view.shape) - len(shape), len(view.shape))
    variance, average, away = _moments(low, node, view, dims, 0)
    padded = Map(shape=variance.shape, op="add", operands=(variance, eps), line=line)
    scale = Map(shape=variance.shape, op="rsqrt", operands=(padded,), line=line)
    result = Map(shape=view.shape, op="mul", operands=(away, scale), line=line)
    for op, own in (("mul", gain), ("add", shift)):
        if own is not None:
            result = Map(shape=view.shape, op=op, operands=(result, low.operand(own)), line=line)
    return result, average, scale


def _moments(
    low: _Lowering, node: fx.Node, view: View, dims: Sequence[int], correction: Any
) -> tuple[Node, Node, Node]:
    """The variance and the mean over dimensions, which stay with size 1; and view - mean."""
    over = tuple(d % len(view.shape) for d in dims)
    kept = tuple(1 if d in over else n for d, n in enumerate(view.shape))
    count, line = view.size // max(1, torch.Size(kept).numel()), node.meta.get("line", "")

    def mean(of: Node, divisor: float) -> Node:
        total = Reduction(shape=kept, op="sum", source=as_view(of), over=over, line=line)
        return Map(shape=kept, op="div", operands=(total, divisor), line=line)

    average = mean(view, float(count))
    away = Map(shape=view.shape, op="sub", operands=(view, average), line=line)
    square = Map(shape=view.shape, op="mul", operands=(away, away), line=line)
    return mean(square, float(count - (1 if correction is None else correction))), average, away


@_rule("cat")
def _cat(low: _Lowering, node: fx.Node, tensors: Sequence[Any], dim: int = 0) -> Node:
    parts = [part for part in map(low.node, tensors) if part.size]
    return low.joined(parts, dim % len(parts[0].shape), node.meta.get("line", ""))


@_rule("stack")
def _stack(low: _Lowering, node: fx.Node, tensors: Sequence[Any], dim: int = 0) -> Node:
    place = dim % len(_shape(node))
    parts = []
    for part in map(low.node, tensors):
        view = as_view(part)
        shape = (*view.shape[:place], 1, *view.shape[place:])
        strides = (*view.strides[:place], 0, *view.strides[place:])
        parts.append(
            View(shape=shape, kind=view.kind, base=view.base, offset=view.offset, strides=strides)
        )
    return low.joined(parts, place, node.meta.get("line", ""))


@_rule("repeat")
def _repeat(low: _Lowering, node: fx.Node, a: Any, times: Sequence[int]) -> Node:
    result, line = low.node(a), node.meta.get("line", "")
    missing = len(times) - len(result.shape)
    if missing:
        result = _with_shape(low.in_order(result, line), (1,) * missing + result.shape)
    for dim, count in enumerate(times):
        result = low.joined([result] * count, dim, line)
    return result


@_rule("embedding")
def _embedding(
    low: _Lowering, node: fx.Node, table: Any, index: Any, padding: int = -1, *_: Any
) -> Node:
    rows = low.node(table)
    number = low.node(index)
    if not isinstance(rows, Constant) or number.size != 1:
        raise low.unknown(node, "of a table that changes, or of several indices")
    return Lookup(
        shape=_shape(node), table=rows, index=number, line=node.meta.get("line", "")
    )


@_rule("convolution")
def _convolution(
    low: _Lowering, node: fx.Node, a: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
) -> Node:  # fmt: skip
    """One window of inputs (1, C, k) by filters (O, C / groups, k): one output of each."""
    x, line = as_view(low.node(a)), node.meta.get("line", "")
    window = isinstance(weight, Tensor) and weight.dim() == 3 and not transposed
    if not window or x.shape[2] != weight.shape[2] or any(p != 0 for p in padding):
        raise low.unknown(node, "of more than one window")
    outputs, inside, steps = weight.shape
    shape = _shape(node)
    if inside == 1 and groups == outputs == x.shape[1]:
        scaled = Map(
            shape=x.shape, op="mul", operands=(x, low.node(weight.transpose(0, 1))), line=line
        )
        total: Node = Reduction(
            shape=shape, op="sum", source=as_view(scaled), over=(2,), line=line
        )
        if bias is None:
            return total
        return Map(
            shape=shape, op="add", operands=(total, low.node(bias.reshape(1, -1, 1))), line=line
        )
    if groups != 1:
        raise low.unknown(node, f"with {groups} groups of {inside} features")
    flat = _with_shape(low.in_order(x, line), (1, x.shape[1] * steps))
    result = low.product(node, flat, weight.reshape(outputs, -1).t(), bias)
    return _with_shape(result, shape)
