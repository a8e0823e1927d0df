"""How operations that only move numbers are lowered: shapes, parts, and parts put together."""

# ruff: noqa: ARG001 - a rule takes what the operation does
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import fx

from elman.engine.compiler._lower import Lowering, Tiles, Untraceable, rule


def _reshaped(low: Lowering, node: fx.Node, a: fx.Node) -> Any:
    """The same numbers in another shape, if rows stay rows and units units."""
    shape = tuple(node.meta["val"].shape)
    if shape == tuple(a.meta["val"].shape):
        return low.any(a)
    value = low.value(a)
    # Dimensions of 1 may come and go: in a row, one number for each of the batch, anywhere; in
    # tiles as long as the units stay last.
    others = math.prod(shape[:-1])
    if low.known(a) is not None:
        return value
    if low.is_row(value):
        if all(size in (1, low.batch) for size in shape[:-1]) and shape[-1:] != (0,):
            return value
    elif shape and shape[-1] == len(value.parts) * low.units and others in (1, low.batch):
        return value
    raise Untraceable(f"{node.target} to shape {shape} mixes units or rows", node)


@rule("view", "reshape", "_unsafe_view", moves=True)
def _view(low: Lowering, node: fx.Node, a: fx.Node, size: Any) -> Any:
    return _reshaped(low, node, a)


@rule("unsqueeze", "squeeze", moves=True)
def _squeeze(low: Lowering, node: fx.Node, a: fx.Node, dim: Any = None) -> Any:
    return _reshaped(low, node, a)


@rule("expand", moves=True)
def _expand(low: Lowering, node: fx.Node, a: fx.Node, size: Any, implicit: bool = False) -> Any:
    return _reshaped(low, node, a)


@rule("permute_copy", moves=True)
def permuted(low: Lowering, node: fx.Node, a: fx.Node, dims: Sequence[int]) -> Any:
    """A permutation that keeps the order of all dimensions longer than 1: a reshape."""
    shape = a.meta["val"].shape
    longer = [d % len(shape) for d in dims if shape[d] != 1]
    if longer != sorted(longer):
        raise Untraceable(f"{node.target} {list(dims)}: only a matrix can be transposed", node)
    return _reshaped(low, node, a)


@rule("cat", moves=True)
def _cat(low: Lowering, node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> Tiles:
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
    return Tiles(tuple(parts))


def _blocks(low: Lowering, node: fx.Node, a: fx.Node, start: int, stop: int) -> Tiles:
    value = low.value(a)
    if low.is_row(value) or start % low.units or stop % low.units:
        raise Untraceable(
            f"{node.target} of units {start} to {stop}: only whole gates can be cut out", node
        )
    return Tiles(value.parts[start // low.units : stop // low.units])


@rule("slice", moves=True)
def _slice(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tiles:
    shape = a.meta["val"].shape
    size = shape[dim]
    start, stop, step = slice(start, end, step).indices(size)
    if (start, stop, step) == (0, size, 1):
        return low.value(a)
    if dim % len(shape) != len(shape) - 1 or step != 1:
        raise Untraceable(f"{node.target} along dimension {dim}: rows cannot be picked", node)
    return _blocks(low, node, a, start, stop)


@rule("split", "split_with_sizes", "chunk", moves=True)
def _split(low: Lowering, node: fx.Node, a: fx.Node, sizes: Any, dim: int = 0) -> list[Tiles]:
    shape = a.meta["val"].shape
    if dim % len(shape) != len(shape) - 1:
        raise Untraceable(f"{node.target} along dimension {dim}: rows cannot be picked", node)
    ends, values = 0, []
    for piece in node.meta["val"]:
        values.append(_blocks(low, node, a, ends, ends + piece.shape[-1]))
        ends += piece.shape[-1]
    return values
