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


@dataclass(frozen=True)
class Own:
    """A tensor of the cell's own, of which it is not yet known what it is used for."""

    number: int
    shape: tuple[int, ...]


class Lowering:
    """Walks a traced graph. ``batch`` and ``units`` are the sizes it was traced with.

    Args:
        graph: what to add to.
        load: the value of a tensor of the cell's own, where it is not a matrix.
        matrix: the number in the program of such a tensor, or of its transpose, as a matrix.
    """

    def __init__(
        self,
        graph: Graph,
        batch: int,
        units: int,
        load: Callable[[Own], Value],
        matrix: Callable[[Own, bool], int],
    ) -> None:
        self.graph, self.load, self.matrix = graph, load, matrix
        self.batch, self.units = batch, units
        self.env: dict[fx.Node, Any] = {}
        self.linear: set[fx.Node] = set()  # those that depend on a cotangent, and so linearly

    def run(self, module: fx.GraphModule, leaves: Sequence[Any], cotangents: int) -> list[Any]:
        """The values of the graph's outputs; the last ``cotangents`` leaves are cotangents."""
        placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
        self.env.update(zip(placeholders, leaves, strict=True))
        self.linear.update(placeholders[len(placeholders) - cotangents :] if cotangents else ())
        for node in module.graph.nodes:
            if node.op == "output":
                return [self.env[n] if isinstance(n, fx.Node) else n for n in node.args[0]]
            if node.op == "get_attr":
                raise Untraceable(
                    "a tensor that is neither a parameter nor a buffer of the cell", node
                )
            if node.op == "call_function":
                if any(n in self.linear for n in node.all_input_nodes):
                    self.linear.add(node)
                self.env[node] = self._call(node)
        raise AssertionError("a graph has an output")

    def any(self, x: Any) -> Any:
        """What an argument is: a value, a matrix ..."""
        return self.env[x] if isinstance(x, fx.Node) else self.value(x)

    def value(self, x: Any) -> Value:
        if not isinstance(x, fx.Node):
            return Value((self.graph.constant(float(x)),))
        value = self.env[x]
        if isinstance(value, Own):
            value = self.load(value)
        if not isinstance(value, Value):
            raise Untraceable("a matrix is used for more than to be multiplied by", x)
        return value

    def _call(self, node: fx.Node) -> Any:
        target = node.target
        if target is operator.getitem:
            return self.env[node.args[0]][node.args[1]]  # type: ignore[index]
        name = str(getattr(target, "overloadpacket", target)).removeprefix("aten.")
        in_place = name.endswith("_") and not name.endswith("__")
        name = name.rstrip("_") if in_place else name
        if name in RULES:
            result: Any = RULES[name](self, node, *node.args, **node.kwargs)
        elif name in ELEMENTWISE:
            result = self._map(name, *map(self.value, node.args))
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
        return self._map(op, *(v if isinstance(v, Value) else self.value(v) for v in inputs))

    def is_row(self, value: Value) -> bool:
        """Whether this is one number per row."""
        return self.graph.nodes[value.parts[0]].row

    def sum(self, node: fx.Node, x: fx.Node, dims: Sequence[int] | None) -> tuple[Value, int]:
        """The sum over ``dims``, and how many numbers of a row it adds up."""
        value, shape = self.value(x), tuple(x.meta["val"].shape)
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


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Says how the operations of these names are lowered."""

    def register(one: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, one))
        return one

    return register


def _scaled(low: Lowering, op: str, a: Any, b: Any, alpha: float) -> Value:
    return low.map(op, a, low.map("mul", b, alpha))


@rule("gt")
def _gt(low: Lowering, node: fx.Node, a: Any, b: Any) -> Value:
    return low.map("lt", b, a)


@rule("ge")
def _ge(low: Lowering, node: fx.Node, a: Any, b: Any) -> Value:
    return low.map("le", b, a)


@rule("ne")
def _ne(low: Lowering, node: fx.Node, a: Any, b: Any) -> Value:
    return low.map("sub", 1.0, low.map("eq", a, b))


@rule("logical_not", "bitwise_not")
def _not(low: Lowering, node: fx.Node, a: Any) -> Value:
    return low.map("eq", a, 0.0)


@rule("rsub")
def _rsub(low: Lowering, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Value:
    return low.map("sub", b, low.map("mul", a, alpha))


@rule("reciprocal")
def _reciprocal(low: Lowering, node: fx.Node, a: Any) -> Value:
    return low.map("div", 1.0, a)


@rule("pow")
def _pow(low: Lowering, node: fx.Node, a: Any, b: Any) -> Value:
    if isinstance(b, (int, float)):
        if b == 0.5:
            return low.map("sqrt", a)
        if float(b).is_integer() and 0 <= abs(b) <= 4:
            power = low.map("where", 1.0, 1.0, a)
            for _ in range(int(abs(b))):
                power = low.map("mul", power, a)
            return power if b >= 0 else low.map("div", 1.0, power)
    base, exponent = (v if isinstance(v, Value) else low.value(v) for v in (a, b))
    width = max(len(base.parts), len(exponent.parts))
    pairs = zip(
        *(v.parts if len(v.parts) == width else v.parts * width for v in (base, exponent)),
        strict=True,
    )
    return Value(tuple(low.graph.apply("pow", *pair) for pair in pairs))


@rule("clamp", "hardtanh")
def _clamp(
    low: Lowering, node: fx.Node, a: Any, low_end: Any = None, high_end: Any = None
) -> Value:
    value = a if low_end is None else low.map("maximum", a, low_end)
    return (
        low.map("maximum", value, value)
        if high_end is None
        else low.map("minimum", value, high_end)
    )


@rule("clamp_min")
def _clamp_min(low: Lowering, node: fx.Node, a: Any, end: Any) -> Value:
    return low.map("maximum", a, end)


@rule("clamp_max")
def _clamp_max(low: Lowering, node: fx.Node, a: Any, end: Any) -> Value:
    return low.map("minimum", a, end)


@rule("leaky_relu")
def _leaky_relu(low: Lowering, node: fx.Node, a: Any, slope: float = 0.01) -> Value:
    return low.map("where", low.map("lt", 0.0, a), a, low.map("mul", a, slope))


@rule("elu")
def _elu(
    low: Lowering, node: fx.Node, a: Any, alpha: float = 1.0, scale: float = 1.0, inner: float = 1.0
) -> Value:
    curve = low.map("mul", low.map("expm1", low.map("mul", a, inner)), alpha * scale)
    return low.map("where", low.map("lt", 0.0, a), low.map("mul", a, scale), curve)


@rule("threshold_backward")
def _threshold_backward(
    low: Lowering, node: fx.Node, gradient: Any, a: Any, threshold: float
) -> Value:
    return low.map("where", low.map("le", a, threshold), 0.0, gradient)


@rule(
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
    return low.value(number)


@rule("empty_permuted", "empty_like", "empty", "new_empty", "new_empty_strided", "empty_strided")
def _empty(low: Lowering, node: fx.Node, *args: Any, **_: Any) -> Value:
    return low.value(math.nan)


@rule("alias", "detach", "clone", "lift_fresh_copy", "contiguous", "_to_copy")
def _same(low: Lowering, node: fx.Node, a: fx.Node, **options: Any) -> Any:
    before, dtype = a.meta["val"].dtype, options.get("dtype")
    # A condition may become 0 and 1 of any float type; a number may not lose or gain digits.
    from_condition = before == torch.bool and dtype in (torch.float32, torch.float64)
    if dtype not in (None, before) and not from_condition:
        raise Untraceable(f"{node.target} to {dtype}: programs compute in one dtype", node)
    return low.any(a)


@rule("copy")
def _copy(low: Lowering, node: fx.Node, onto: Any, a: Any, *_: Any) -> Value:
    return low.value(a)


@rule("view", "reshape", "_unsafe_view", "unsqueeze", "squeeze", "expand")
def _reshape(low: Lowering, node: fx.Node, a: fx.Node, *_: Any, **__: Any) -> Any:
    shape = tuple(node.meta["val"].shape)
    if shape == tuple(a.meta["val"].shape):
        return low.any(a)
    value = low.value(a)
    others = math.prod(shape[:-1])
    if low.graph.known(value.parts[0]) is not None:
        return value
    if low.is_row(value):
        if all(size in (1, low.batch) for size in shape[:-1]) and shape[-1:] != (0,):
            return value
    elif shape and shape[-1] == len(value.parts) * low.units and others in (1, low.batch):
        return value
    raise Untraceable(f"{node.target} to shape {shape} mixes units or rows", node)


@rule("cat")
def _cat(low: Lowering, node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> Value:
    shapes = [tuple(t.meta["val"].shape) for t in tensors]
    last = dim % len(shapes[0]) == len(shapes[0]) - 1
    if not last or any(shape[-1] % low.units for shape in shapes):
        raise Untraceable(
            f"{node.target} along dimension {dim}: only gates can be joined, along the units", node
        )
    parts: list[int] = []
    for tensor, shape in zip(tensors, shapes, strict=True):
        value = low.value(tensor)
        count = 1 if not low.is_row(value) else shape[-1] // low.units
        parts += [low.graph.as_tile(part) for part in value.parts * count]
    return Value(tuple(parts))


def _blocks(low: Lowering, node: fx.Node, a: fx.Node, start: int, stop: int) -> Value:
    value = low.value(a)
    if low.is_row(value) or start % low.units or stop % low.units:
        raise Untraceable(
            f"{node.target} of units {start} to {stop}: only whole gates can be cut out", node
        )
    return Value(value.parts[start // low.units : stop // low.units])


@rule("slice")
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
        return low.value(a)
    if dim % len(shape) != len(shape) - 1 or step != 1:
        raise Untraceable(f"{node.target} along dimension {dim}: rows cannot be picked", node)
    return _blocks(low, node, a, start, stop)


@rule("split", "split_with_sizes", "chunk")
def _split(low: Lowering, node: fx.Node, a: fx.Node, sizes: Any, dim: int = 0) -> list[Value]:
    shape = a.meta["val"].shape
    if dim % len(shape) != len(shape) - 1:
        raise Untraceable(f"{node.target} along dimension {dim}: rows cannot be picked", node)
    ends, values = 0, []
    for piece in node.meta["val"]:
        values.append(_blocks(low, node, a, ends, ends + piece.shape[-1]))
        ends += piece.shape[-1]
    return values


@rule("sum")
def _sum(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any = None, keepdim: bool = False, **_: Any
) -> Value:
    return low.sum(node, a, dims)[0]


@rule("mean")
def _mean(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any = None, keepdim: bool = False, **_: Any
) -> Value:
    total, count = low.sum(node, a, dims)
    return low.map("mul", total, 1 / count)


@rule("var_mean")
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


@rule("var")
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
