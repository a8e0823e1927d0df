"""Operations with arguments of their own: sums, products, joins, convolutions."""

# ruff: noqa: ARG001 - a rule takes what the operation does
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from elman.exporting._lowering import StepLowering, name_of, rule, shape_of
from elman.exporting._nodes import (
    ArrayNode,
    ConstantArray,
    Lookup,
    Map,
    Number,
    Reduction,
    View,
    as_view,
    contiguous_strides,
)


@rule("add")
def _add(low: StepLowering, node: fx.Node, a: Any, b: Any, *, alpha: Number = 1) -> ArrayNode:
    if alpha == 1:
        return low.map(node, "add", a, b)
    return low.map(node, "add", a, low.map(node, "mul", b, alpha))


@rule("sub")
def _sub(low: StepLowering, node: fx.Node, a: Any, b: Any, *, alpha: Number = 1) -> ArrayNode:
    return low.map(node, "sub", a, b if alpha == 1 else low.map(node, "mul", b, alpha))


@rule("rsub")
def _rsub(low: StepLowering, node: fx.Node, a: Any, b: Any, alpha: Number = 1) -> ArrayNode:
    return low.map(node, "sub", b, a if alpha == 1 else low.map(node, "mul", a, alpha))


@rule("clamp", "clamp_min", "clamp_max")
def _clamp(
    low: StepLowering, node: fx.Node, a: Any, least: Any = None, most: Any = None
) -> ArrayNode:
    if name_of(node) == "clamp_max":
        least, most = None, least
    result = low.node(a)
    if least is not None:
        result = low.map(node, "maximum", result, least)
    return result if most is None else low.map(node, "minimum", result, most)


@rule("masked_fill")
def _masked_fill(low: StepLowering, node: fx.Node, a: Any, where: Any, value: Any) -> ArrayNode:
    return low.map(node, "where", where, value, a)


@rule("mm")
def _mm(low: StepLowering, node: fx.Node, a: Any, b: Any) -> ArrayNode:
    return low.product(node, a, b)


@rule("addmm")
def _addmm(
    low: StepLowering,
    node: fx.Node,
    bias: Any,
    a: Any,
    b: Any,
    *,
    beta: Number = 1,
    alpha: Number = 1,
) -> ArrayNode:
    if beta != 1 or alpha != 1:
        raise low.unknown(node, f"with beta={beta}, alpha={alpha}")
    return low.product(node, a, b, bias)


@rule("bmm")
def _bmm(low: StepLowering, node: fx.Node, a: Any, b: Any) -> ArrayNode:
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


def _with_shape(node: ArrayNode, shape: tuple[int, ...]) -> View:
    """The array, whose numbers lie in order, with dimensions of size 1 more or fewer."""
    view = as_view(node)
    return View(
        shape=shape, kind=view.kind, line=view.line, base=view.base, offset=view.offset,
        strides=contiguous_strides(shape),
    )  # fmt: skip


@rule("sum", "mean", "amax", "amin")
def _reduce(
    low: StepLowering, node: fx.Node, a: Any, dims: Any = None, keepdim: bool = False, *,
    dtype: Any = None,
) -> ArrayNode:  # fmt: skip
    view, name = as_view(low.node(a)), name_of(node)
    if view.kind == "int":
        raise low.unknown(node, "of whole numbers")
    chosen = [dims] if isinstance(dims, int) else list(dims or [])
    over = tuple(d % len(view.shape) for d in chosen) or tuple(range(len(view.shape)))
    line = node.meta.get("line", "")
    op = {"amax": "max", "amin": "min"}.get(name, "sum")
    shape = shape_of(node)
    result: ArrayNode = Reduction(shape=shape, op=op, source=view, over=over, line=line)  # type: ignore[arg-type]
    if name != "mean":
        return result
    count = view.size // max(1, result.size)
    return Map(shape=shape, op="div", operands=(result, float(count)), line=line)


@rule("var", "var_mean")
def _variance(
    low: StepLowering, node: fx.Node, a: Any, dims: Any = None, *, correction: Any = 1,
    keepdim: bool = False,
) -> Any:  # fmt: skip
    view = as_view(low.node(a))
    variance, average, _ = _moments(low, node, view, dims or range(len(view.shape)), correction)
    several = isinstance(node.meta["val"], (list, tuple))
    shape = tuple((node.meta["val"][0] if several else node.meta["val"]).shape)
    of_variance = _with_shape(variance, shape)
    return (of_variance, _with_shape(average, shape)) if several else of_variance


@rule("native_layer_norm")
def _layer_norm(
    low: StepLowering,
    node: fx.Node,
    a: Any,
    shape: Sequence[int],
    gain: Any,
    shift: Any,
    eps: float,
) -> tuple[ArrayNode, ArrayNode, ArrayNode]:
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
    low: StepLowering, node: fx.Node, view: View, dims: Sequence[int], correction: Any
) -> tuple[ArrayNode, ArrayNode, ArrayNode]:
    """The variance and the mean over dimensions, which stay with size 1; and view - mean."""
    over = tuple(d % len(view.shape) for d in dims)
    kept = tuple(1 if d in over else n for d, n in enumerate(view.shape))
    count, line = view.size // max(1, torch.Size(kept).numel()), node.meta.get("line", "")

    def mean(of: ArrayNode, divisor: float) -> ArrayNode:
        total = Reduction(shape=kept, op="sum", source=as_view(of), over=over, line=line)
        return Map(shape=kept, op="div", operands=(total, divisor), line=line)

    average = mean(view, float(count))
    away = Map(shape=view.shape, op="sub", operands=(view, average), line=line)
    square = Map(shape=view.shape, op="mul", operands=(away, away), line=line)
    return mean(square, float(count - (1 if correction is None else correction))), average, away


@rule("cat")
def _cat(low: StepLowering, node: fx.Node, tensors: Sequence[Any], dim: int = 0) -> ArrayNode:
    parts = [part for part in map(low.node, tensors) if part.size]
    return low.joined(parts, dim % len(parts[0].shape), node.meta.get("line", ""))


@rule("stack")
def _stack(low: StepLowering, node: fx.Node, tensors: Sequence[Any], dim: int = 0) -> ArrayNode:
    place = dim % len(shape_of(node))
    parts = []
    for part in map(low.node, tensors):
        view = as_view(part)
        shape = (*view.shape[:place], 1, *view.shape[place:])
        strides = (*view.strides[:place], 0, *view.strides[place:])
        parts.append(
            View(shape=shape, kind=view.kind, base=view.base, offset=view.offset, strides=strides)
        )
    return low.joined(parts, place, node.meta.get("line", ""))


@rule("repeat")
def _repeat(low: StepLowering, node: fx.Node, a: Any, times: Sequence[int]) -> ArrayNode:
    result, line = low.node(a), node.meta.get("line", "")
    missing = len(times) - len(result.shape)
    if missing:
        result = _with_shape(low.in_order(result, line), (1,) * missing + result.shape)
    for dim, count in enumerate(times):
        result = low.joined([result] * count, dim, line)
    return result


@rule("embedding")
def _embedding(
    low: StepLowering, node: fx.Node, table: Any, index: Any, padding: int = -1, *_: Any
) -> ArrayNode:
    rows = low.node(table)
    number = low.node(index)
    if not isinstance(rows, ConstantArray) or number.size != 1:
        raise low.unknown(node, "of a table that changes, or of several indices")
    return Lookup(shape=shape_of(node), table=rows, index=number, line=node.meta.get("line", ""))


@rule("convolution")
def _convolution(
    low: StepLowering, node: fx.Node, a: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
) -> ArrayNode:  # fmt: skip
    """One window of inputs (1, C, k) by filters (O, C / groups, k): one output of each."""
    x, line = as_view(low.node(a)), node.meta.get("line", "")
    window = isinstance(weight, Tensor) and weight.dim() == 3 and not transposed
    if not window or x.shape[2] != weight.shape[2] or any(p != 0 for p in padding):
        raise low.unknown(node, "of more than one window")
    outputs, inside, steps = weight.shape
    shape = shape_of(node)
    if inside == 1 and groups == outputs == x.shape[1]:
        scaled = Map(
            shape=x.shape, op="mul", operands=(x, low.node(weight.transpose(0, 1))), line=line
        )
        total: ArrayNode = Reduction(
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
