"""From torch's operations to expressions: what the native instruction set can say."""

# ruff: noqa: ARG001 - a rule takes what the operation does
from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from elman.engine._expression import Graph

aten = torch.ops.aten


class Untraceable(Exception):
    """An operation that no program can say; ``node`` is where it stands."""

    def __init__(self, reason: str, node: fx.Node | None = None) -> None:
        super().__init__(reason)
        self.node = node


@dataclass(frozen=True)
class Value:
    """A tensor in the graph: its units in blocks of the hidden size, or one number per row."""

    parts: tuple[int, ...]


class Lowering:
    """Walks a traced graph. ``batch`` and ``units`` are the sizes it was traced with."""

    def __init__(self, graph: Graph, batch: int, units: int) -> None:
        self.graph = graph
        self.batch, self.units = batch, units
        self.env: dict[fx.Node, Any] = {}
        self.linear: set[fx.Node] = set()  # those that depend on a cotangent, and so linearly

    def run(self, module: fx.GraphModule, leaves: Sequence[Value], cotangents: int) -> list[Value]:
        """The values of the graph's outputs; the last ``cotangents`` leaves are cotangents."""
        placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
        self.env.update(zip(placeholders, leaves, strict=True))
        self.linear.update(placeholders[len(placeholders) - cotangents :] if cotangents else ())
        for node in module.graph.nodes:
            if node.op == "output":
                return [self._value(n) for n in node.args[0]]
            if node.op == "get_attr":
                raise Untraceable(
                    "a tensor that is neither a parameter nor a buffer of the cell", node
                )
            if node.op == "call_function":
                if any(n in self.linear for n in node.all_input_nodes):
                    self.linear.add(node)
                self.env[node] = self._call(node)
        raise AssertionError("a graph has an output")

    def _value(self, x: Any) -> Value:
        if isinstance(x, fx.Node):
            value: Value = self.env[x]
            return value
        return Value((self.graph.constant(float(x)),))

    def _call(self, node: fx.Node) -> Any:
        target = node.target
        if target is operator.getitem:
            return self.env[node.args[0]][node.args[1]]  # type: ignore[index]
        name = str(getattr(target, "overloadpacket", target)).removeprefix("aten.")
        in_place = name.endswith("_") and not name.endswith("__")
        name = name.rstrip("_") if in_place else name
        if name in ELEMENTWISE:
            result: Any = self._map(name, *map(self._value, node.args))
        elif name in RULES:
            result = RULES[name](self, node, *node.args, **node.kwargs)
        else:
            raise Untraceable(f"{target} is not in the native instruction set", node)
        if in_place:  # by torch's own decompositions: the user's were refused before
            self.env[node.args[0]] = result  # type: ignore[index]
        return result

    def _map(self, op: str, *inputs: Value) -> Value:
        width = max(len(v.parts) for v in inputs)
        parts = [v.parts if len(v.parts) == width else v.parts * width for v in inputs]
        return Value(
            tuple(self.graph.apply(ELEMENTWISE[op], *each) for each in zip(*parts, strict=True))
        )

    def map(self, op: str, *inputs: Any) -> Value:
        """An elementwise operation on nodes, values and numbers."""
        return self._map(op, *(v if isinstance(v, Value) else self._value(v) for v in inputs))

    def is_row(self, value: Value) -> bool:
        """Whether this is one number per row."""
        return self.graph.nodes[value.parts[0]].row

    def sum(self, node: fx.Node, x: fx.Node, dims: Sequence[int] | None) -> tuple[Value, int]:
        """The sum over ``dims``, and how many numbers of a row it adds up."""
        value, shape = self._value(x), tuple(x.meta["val"].shape)
        over = {d % len(shape) for d in dims} if dims and shape else set(range(len(shape)))
        rows_last = self.is_row(value) and shape and shape[-1] == self.batch
        units_dim = None if rows_last else len(shape) - 1
        if any(d != units_dim and shape[d] != 1 for d in over) and x not in self.linear:
            raise Untraceable(
                f"{node.target} adds up over the batch, so rows would depend on each other", node
            )
        if units_dim not in over:
            return value, 1
        if self.is_row(value):
            return self.map("mul", value, float(shape[-1])), shape[-1]
        total = [self.graph.row_sum(part) for part in value.parts]
        while len(total) > 1:
            total.append(self.graph.apply("add", total.pop(0), total.pop(0)))
        return Value((total[0],)), shape[-1]


Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}

# torch's name: ours
ELEMENTWISE = {
    **{name: name for name in (
        "sub", "mul", "div", "neg", "exp", "expm1", "log", "log1p", "sin", "cos", "erf",
        "sigmoid", "tanh",
        "relu", "abs", "sign", "sqrt", "rsqrt", "maximum", "minimum", "where", "lt", "le", "eq",
        "sigmoid_backward", "tanh_backward", "add", "fma",
    )},
    "bitwise_and": "mul", "logical_and": "mul", "bitwise_or": "maximum", "logical_or": "maximum",
    "true_divide": "div", "multiply": "mul", "sgn": "sign",
}  # fmt: skip


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def _scaled(low: Lowering, op: str, a: Any, b: Any, alpha: float) -> Value:
    return low.map(op, a, low.map("mul", b, alpha))


@_rule("gt")
def _gt(low: Lowering, node: fx.Node, a: Any, b: Any) -> Value:
    return low.map("lt", b, a)


@_rule("ge")
def _ge(low: Lowering, node: fx.Node, a: Any, b: Any) -> Value:
    return low.map("le", b, a)


@_rule("ne")
def _ne(low: Lowering, node: fx.Node, a: Any, b: Any) -> Value:
    return low.map("sub", 1.0, low.map("eq", a, b))


@_rule("logical_not", "bitwise_not")
def _not(low: Lowering, node: fx.Node, a: Any) -> Value:
    return low.map("eq", a, 0.0)


@_rule("rsub")
def _rsub(low: Lowering, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Value:
    return low.map("sub", b, low.map("mul", a, alpha))


@_rule("reciprocal")
def _reciprocal(low: Lowering, node: fx.Node, a: Any) -> Value:
    return low.map("div", 1.0, a)


@_rule("pow")
def _pow(low: Lowering, node: fx.Node, a: Any, b: Any) -> Value:
    if isinstance(b, (int, float)):
        if b == 0.5:
            return low.map("sqrt", a)
        if float(b).is_integer() and 0 <= abs(b) <= 4:
            power = low.map("where", 1.0, 1.0, a)
            for _ in range(int(abs(b))):
                power = low.map("mul", power, a)
            return power if b >= 0 else low.map("div", 1.0, power)
    base, exponent = (v if isinstance(v, Value) else low._value(v) for v in (a, b))
    width = max(len(base.parts), len(exponent.parts))
    pairs = zip(
        *(v.parts if len(v.parts) == width else v.parts * width for v in (base, exponent)),
        strict=True,
    )
    return Value(tuple(low.graph.apply("pow", *pair) for pair in pairs))


@_rule("clamp", "hardtanh")
def _clamp(
    low: Lowering, node: fx.Node, a: Any, low_end: Any = None, high_end: Any = None
) -> Value:
    value = a if low_end is None else low.map("maximum", a, low_end)
    return (
        low.map("maximum", value, value)
        if high_end is None
        else low.map("minimum", value, high_end)
    )


@_rule("clamp_min")
def _clamp_min(low: Lowering, node: fx.Node, a: Any, end: Any) -> Value:
    return low.map("maximum", a, end)


@_rule("clamp_max")
def _clamp_max(low: Lowering, node: fx.Node, a: Any, end: Any) -> Value:
    return low.map("minimum", a, end)


@_rule("leaky_relu")
def _leaky_relu(low: Lowering, node: fx.Node, a: Any, slope: float = 0.01) -> Value:
    return low.map("where", low.map("lt", 0.0, a), a, low.map("mul", a, slope))


@_rule("elu")
def _elu(
    low: Lowering, node: fx.Node, a: Any, alpha: float = 1.0, scale: float = 1.0, inner: float = 1.0
) -> Value:
    curve = low.map("mul", low.map("expm1", low.map("mul", a, inner)), alpha * scale)
    return low.map("where", low.map("lt", 0.0, a), low.map("mul", a, scale), curve)


@_rule("threshold_backward")
def _threshold_backward(
    low: Lowering, node: fx.Node, gradient: Any, a: Any, threshold: float
) -> Value:
    return low.map("where", low.map("le", a, threshold), 0.0, gradient)


@_rule(
    "full_like",
    "full",
    "scalar_tensor",
    "zeros_like",
    "ones_like",
    "new_zeros",
    "zeros",
    "new_full",
)
def _constant(low: Lowering, node: fx.Node, *args: Any, **_: Any) -> Value:
    name = str(node.target)
    number = 1.0 if "ones" in name else 0.0 if "zeros" in name else args[-1]
    return low._value(number)


@_rule("empty_permuted", "empty_like", "empty", "new_empty", "new_empty_strided", "empty_strided")
def _empty(low: Lowering, node: fx.Node, *args: Any, **_: Any) -> Value:
    return low._value(math.nan)


@_rule("alias", "detach", "clone", "lift_fresh_copy", "contiguous", "_to_copy")
def _same(low: Lowering, node: fx.Node, a: fx.Node, **options: Any) -> Value:
    before, dtype = a.meta["val"].dtype, options.get("dtype")
    # A condition may become 0 and 1 of any float type; a number may not lose or gain digits.
    from_condition = before == torch.bool and dtype in (torch.float32, torch.float64)
    if dtype not in (None, before) and not from_condition:
        raise Untraceable(f"{node.target} to {dtype}: programs compute in one dtype", node)
    return low._value(a)


@_rule("copy")
def _copy(low: Lowering, node: fx.Node, onto: Any, a: Any, *_: Any) -> Value:
    return low._value(a)


@_rule("view", "reshape", "_unsafe_view", "unsqueeze", "squeeze", "expand")
def _reshape(low: Lowering, node: fx.Node, a: fx.Node, *_: Any, **__: Any) -> Value:
    value, shape = low._value(a), tuple(node.meta["val"].shape)
    others = math.prod(shape[:-1])
    if low.graph.known(value.parts[0]) is not None:
        return value
    if low.is_row(value):
        if all(size in (1, low.batch) for size in shape[:-1]) and shape[-1:] != (0,):
            return value
    elif shape and shape[-1] == len(value.parts) * low.units and others in (1, low.batch):
        return value
    raise Untraceable(f"{node.target} to shape {shape} mixes units or rows", node)


@_rule("cat")
def _cat(low: Lowering, node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> Value:
    shape = tensors[0].meta["val"].shape
    values = [low._value(t) for t in tensors]
    if dim % len(shape) != len(shape) - 1 or any(map(low.is_row, values)):
        raise Untraceable(
            f"{node.target} along dimension {dim}: only gates can be joined, along the units", node
        )
    return Value(tuple(part for value in values for part in value.parts))


def _blocks(low: Lowering, node: fx.Node, a: fx.Node, start: int, stop: int) -> Value:
    value = low._value(a)
    if low.is_row(value) or start % low.units or stop % low.units:
        raise Untraceable(
            f"{node.target} of units {start} to {stop}: only whole gates can be cut out", node
        )
    return Value(value.parts[start // low.units : stop // low.units])


@_rule("slice")
def _slice(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    shape = a.meta["val"].shape
    size = shape[dim]
    start, stop, step = slice(start, end, step).indices(size)
    if (start, stop, step) == (0, size, 1):
        return low._value(a)
    if dim % len(shape) != len(shape) - 1 or step != 1:
        raise Untraceable(f"{node.target} along dimension {dim}: rows cannot be picked", node)
    return _blocks(low, node, a, start, stop)


@_rule("split", "split_with_sizes", "chunk")
def _split(low: Lowering, node: fx.Node, a: fx.Node, sizes: Any, dim: int = 0) -> list[Value]:
    shape = a.meta["val"].shape
    if dim % len(shape) != len(shape) - 1:
        raise Untraceable(f"{node.target} along dimension {dim}: rows cannot be picked", node)
    ends, values = 0, []
    for piece in node.meta["val"]:
        values.append(_blocks(low, node, a, ends, ends + piece.shape[-1]))
        ends += piece.shape[-1]
    return values


@_rule("slice_backward")
def _slice_backward(
    low: Lowering,
    node: fx.Node,
    gradient: fx.Node,
    sizes: Sequence[int],
    dim: int,
    start: int,
    end: int,
    step: int,
) -> Value:
    start, stop, _ = slice(start, end, step).indices(sizes[dim])
    if dim % len(sizes) != len(sizes) - 1 or start % low.units or stop % low.units or step != 1:
        raise Untraceable(f"{node.target} along dimension {dim}", node)
    zero = low.graph.as_tile(low.graph.constant(0.0))
    before, after = start // low.units, (sizes[dim] - stop) // low.units
    return Value((zero,) * before + low._value(gradient).parts + (zero,) * after)


@_rule("sum")
def _sum(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any = None, keepdim: bool = False, **_: Any
) -> Value:
    return low.sum(node, a, dims)[0]


@_rule("mean")
def _mean(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any = None, keepdim: bool = False, **_: Any
) -> Value:
    total, count = low.sum(node, a, dims)
    return low.map("mul", total, 1 / count)


@_rule("var_mean")
def _var_mean(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dims: Any = None,
    *,
    correction: float = 1,
    keepdim: bool = False,
) -> list[Value]:
    total, count = low.sum(node, a, dims)
    mean = low.map("mul", total, 1 / count)
    apart = low.map("sub", a, mean)
    squares = low.map("mul", apart, apart)
    sums = [low.graph.row_sum(part) for part in squares.parts]
    while len(sums) > 1:
        sums.append(low.graph.apply("add", sums.pop(0), sums.pop(0)))
    weight = 1 / (count - correction) if count > correction else math.inf
    return [low.map("mul", Value((sums[0],)), weight), mean]


@_rule("var")
def _var(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dims: Any = None,
    *,
    correction: float = 1,
    keepdim: bool = False,
) -> Value:
    variance: Value = _var_mean(low, node, a, dims, correction=correction)[0]
    return variance
