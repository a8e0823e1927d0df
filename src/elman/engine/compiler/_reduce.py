"""How sums and other reductions over the units of a row are lowered."""

# ruff: noqa: ARG001 - a rule takes what the operation does
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import fx

from elman.engine.compiler._kinds import DtypeKind
from elman.engine.compiler._lower import Lowering, Tiles, Untraceable, rule


def _over_units(low: Lowering, node: fx.Node, x: fx.Node, dims: Sequence[int] | int | None) -> bool:
    """Whether a reduction is over the units; it must not be over the rows."""
    value, shape = low.value(x), tuple(x.meta["val"].shape)
    # No dimensions, and None, mean all of them.
    dims = [dims] if isinstance(dims, int) else dims
    over = {d % len(shape) for d in dims} if dims and shape else set(range(len(shape)))
    rows_last = low.is_row(value) and shape and shape[-1] == low.batch
    units = None if rows_last else len(shape) - 1
    # A gradient may be summed over the batch: so autograd undoes the broadcast of a parameter. The
    # library sums the gradients of parameters over rows and steps by itself.
    if any(d != units and shape[d] != 1 for d in over) and x not in low.linear:
        raise Untraceable(
            f"{node.target} adds up over the batch, so rows would depend on each other", node
        )
    return units in over


def _folded(low: Lowering, op: str, parts: Sequence[int]) -> Tiles:
    """Combines the parts of a row by ``op``."""
    # In pairs, since a sum then rounds less than one after the other.
    total = list(parts)
    while len(total) > 1:
        total.append(low.graph.apply(op, total.pop(0), total.pop(0)))
    return Tiles((total[0],))


def _summed(low: Lowering, node: fx.Node, x: fx.Node, dims: Any) -> tuple[Tiles, int]:
    """The sum over ``dims``, and how many numbers of a row it adds up."""
    value, over_units = low.value(x), _over_units(low, node, x, dims)
    if not over_units:
        return value, 1
    shape = x.meta["val"].shape
    count = shape[-1] if shape else 1
    if not count:
        return low.value(0.0), 0
    if low.is_row(value):
        return low.map("mul", value, float(count)), count
    return _folded(low, "add", [low.graph.row_sum(part) for part in value.parts]), count


@rule("sum", gives="real whole")
def _sum(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dims: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> Tiles:
    total, count = _summed(low, node, a, dims)
    if low.types.kind(node) is DtypeKind.WHOLE:
        least, most = low.types.range(a)
        low.types.ranges[node] = (min(least * count, 0), max(most * count, 0))
    return total


@rule("mean")
def _mean(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dims: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> Tiles:
    total, count = _summed(low, node, a, dims)
    return low.map("mul", total, 1 / count if count else math.nan)


@rule("var_mean")
def _var_mean(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dims: Any = None,
    correction: float | None = 1,
    keepdim: bool = False,
) -> list[Tiles]:
    total, count = _summed(low, node, a, dims)
    mean = low.map("mul", total, 1 / count)
    apart = low.map("sub", a, mean)
    squares = low.map("mul", apart, apart)
    sums = _folded(low, "add", [low.graph.row_sum(part) for part in squares.parts])
    left = count - (1 if correction is None else correction)
    return [low.map("mul", sums, 1 / left if left > 0 else math.inf), mean]


@rule("var")
def _var(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dims: Any = None,
    correction: float | None = 1,
    keepdim: bool = False,
) -> Tiles:
    variance: Tiles = _var_mean(low, node, a, dims, correction, keepdim)[0]
    return variance


@rule("amax", gives="real bool whole")
def _amax(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any = None, keepdim: bool = False
) -> Tiles:
    return _largest(low, node, a, dims, low.value)


@rule("amin", gives="real bool whole")
def _amin(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any = None, keepdim: bool = False
) -> Tiles:
    return low.map("neg", _largest(low, node, a, dims, lambda x: low.map("neg", x)))


@rule("any", moves=True)
def _any(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any = None, keepdim: bool = False
) -> Tiles:
    return _largest(low, node, a, dims, low.truth)


@rule("all", moves=True)
def _all(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any = None, keepdim: bool = False
) -> Tiles:
    return low.map("eq", _largest(low, node, a, dims, lambda x: low.map("eq", x, 0.0)), 0.0)


def _largest(
    low: Lowering, node: fx.Node, a: fx.Node, dims: Any, made: Callable[[Any], Tiles]
) -> Tiles:
    """The maximum over ``dims`` of ``made(a)``."""
    value, over_units = made(a), _over_units(low, node, a, dims)
    if not over_units or low.is_row(value):
        return value
    return _folded(low, "maximum", [low.graph.reduced("row_max", part) for part in value.parts])


def _shifted(low: Lowering, node: fx.Node, a: fx.Node, dim: int) -> tuple[Tiles, Tiles]:
    """``a`` minus its maximum over the units, and the sum of the exponentials of that."""
    # As torch does, so that the exponentials stay finite.
    largest = _largest(low, node, a, dim, low.value)
    if not low.value(a).parts or low.is_row(low.value(a)) or not _over_units(low, node, a, dim):
        raise Untraceable(f"{node.target} over dimension {dim}: only over the units of a row", node)
    apart = low.map("sub", a, largest)
    parts = [low.graph.row_sum(part) for part in low.map("exp", apart).parts]
    return apart, _folded(low, "add", parts)


@rule("_softmax")
def _softmax(
    low: Lowering, node: fx.Node, a: fx.Node, dim: int, half_to_float: bool = False
) -> Tiles:
    apart, total = _shifted(low, node, a, dim)
    return low.map("div", low.map("exp", apart), total)


@rule("_log_softmax")
def _log_softmax(
    low: Lowering, node: fx.Node, a: fx.Node, dim: int, half_to_float: bool = False
) -> Tiles:
    apart, total = _shifted(low, node, a, dim)
    return low.map("sub", apart, low.map("log", total))
