"""Matrix products in a traced step: what is a matrix in it, and what a matrix's gradient is.

A matrix consists of blocks, each of as many rows and columns as there are units. Its gradient is a
sum over steps and rows of a gradient times a value, which the library computes for many steps at
once. So no number of it ever appears in a program: only the pair. Where torch transposes, slices,
joins or adds such gradients, the pairs are moved about and nothing is computed.
"""

# ruff: noqa: ARG001 - a rule takes what the operation does
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

from torch import fx

from elman.engine.compiler import _layout
from elman.engine.compiler._kinds import DtypeKind
from elman.engine.compiler._lower import RULES, CellTensor, Lowering, Tiles, Untraceable, rule
from elman.engine.compiler._program import Block

T = TypeVar("T")
Grid = tuple[tuple[T, ...], ...]


@dataclass(frozen=True)
class Matrix:
    """Part of a matrix, or of its transpose: for each block, where it is in the matrix."""

    own: CellTensor
    grid: Grid[tuple[int, int]]
    transposed: bool = False


@dataclass(frozen=True)
class Transposed:
    """A value of (batch, units) as (units, batch): the left factor of a matrix's gradient."""

    value: Tiles


@dataclass(frozen=True)
class OuterProduct:
    """A matrix's gradient: for each block, the pairs (rows, columns) whose products it sums."""

    grid: Grid[tuple[tuple[int, int], ...]]


def _turn(grid: Grid[T]) -> Grid[T]:
    return tuple(zip(*grid, strict=True))


def _is_own_matrix(x: Any) -> bool:
    return isinstance(x, CellTensor) and len(x.shape) == 2 and x.shape[0] > 1


def _of_matrices(name: str) -> Callable[[Any], Any]:
    """A rule for matrices and their gradients, beside the one of this name for values."""

    def register(one: Callable[..., Any]) -> Callable[..., Any]:
        of_values = RULES[name]

        @wraps(of_values.lower)
        def either(low: Lowering, node: fx.Node, a: Any, *args: Any, **options: Any) -> Any:
            first = [low.any(x) for x in (a if isinstance(a, (list, tuple)) else [a])]
            kinds = (Matrix, Transposed, OuterProduct)
            matrices = any(isinstance(x, kinds) or _is_own_matrix(x) for x in first)
            return (one if matrices else of_values.lower)(low, node, a, *args, **options)

        RULES[name] = replace(of_values, lower=either)
        return one

    return register


def _matrix(low: Lowering, node: fx.Node, x: Any) -> Matrix:
    if isinstance(x, Matrix):
        return x
    if not isinstance(x, CellTensor):
        raise Untraceable(f"{node.target}: only the cell's own matrices can be multiplied by", node)
    if len(x.shape) != 2 or any(size % low.units for size in x.shape):
        raise Untraceable(
            f"{node.target} with a matrix of shape {x.shape}: expected multiples of the "
            f"{low.units} units on both sides",
            node,
        )
    rows, columns = (size // low.units for size in x.shape)
    return Matrix(x, tuple(tuple((i, j) for j in range(columns)) for i in range(rows)))


@rule("permute", moves=True)
def _permute(low: Lowering, node: fx.Node, a: Any, dims: Sequence[int]) -> Any:
    x = low.any(a)
    if tuple(d % len(dims) for d in dims) != (1, 0):
        return _layout.permuted(low, node, a, dims)
    if isinstance(x, Transposed):
        return x.value
    if isinstance(x, Tiles):
        return Transposed(x)
    if isinstance(x, OuterProduct):
        swapped = (tuple(tuple((b, a) for a, b in pairs) for pairs in row) for row in x.grid)
        return OuterProduct(_turn(tuple(swapped)))
    matrix = _matrix(low, node, x)
    return Matrix(matrix.own, _turn(matrix.grid), not matrix.transposed)


@rule("mm")
def _mm(low: Lowering, node: fx.Node, a: Any, b: Any) -> Any:
    left, right = low.any(a), low.any(b)
    if isinstance(left, Transposed):  # zᵀ v, a gradient: every block of z meets every block of v
        pairs = (tuple(((i, j),) for j in low.value(b).parts) for i in left.value.parts)
        return OuterProduct(tuple(tuple(row) for row in pairs))
    value, matrix = low.value(a), _matrix(low, node, right)
    # As seen, rows are what is multiplied. A block of a program is as F.linear wants it: the
    # forward multiplies by its transpose, and the gradient flows back by the block itself.
    backward = any(n in low.linear for n in node.all_input_nodes)
    transposed = matrix.transposed if backward else not matrix.transposed
    number = low.matrix(matrix.own, transposed)

    def block(place: tuple[int, int]) -> Block:
        return Block(number, *(reversed(place) if transposed else place))

    columns = [
        list(zip(value.parts, map(block, column), strict=True)) for column in _turn(matrix.grid)
    ]
    if backward:
        return Tiles(tuple(map(low.graph.flow_back, columns)))
    return Tiles(tuple(_sum(low, [low.graph.product(*term) for term in c]) for c in columns))


def _sum(low: Lowering, nodes: Sequence[int]) -> int:
    total, *rest = nodes
    for node in rest:
        total = low.graph.apply("add", total, node)
    return total


@rule("addmm")
def _addmm(
    low: Lowering, node: fx.Node, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1
) -> Tiles:
    product = low.map("mul", _mm(low, node, a, b), float(alpha))
    return low.map("add", product, low.map("mul", bias, float(beta)))


@rule("add", gives="real bool whole")
def _add(low: Lowering, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Any:
    terms = [low.any(x) for x in (a, b)]
    outers = [x for x in terms if isinstance(x, OuterProduct)]
    if low.types.kind(node) is DtypeKind.BOOL:
        return low.map("maximum", a, low.map("mul", b, float(alpha != 0)))
    if not outers or alpha != 1:
        return low.map("add", a, low.map("mul", b, alpha))
    if len(outers) == 1:
        (other,) = (
            n for n, x in zip((a, b), terms, strict=True) if not isinstance(x, OuterProduct)
        )
        # Autograd adds zeros for the uses of a matrix that have no gradient.
        if any(low.graph.known(part) != 0 for part in low.value(other).parts):
            raise Untraceable("a matrix is used for more than to be multiplied by", node)
        return outers[0]
    rows = zip(*(x.grid for x in outers), strict=True)
    return OuterProduct(tuple(tuple(x + y for x, y in zip(*pair, strict=True)) for pair in rows))


def _along(low: Lowering, node: fx.Node, x: Any, dim: int, start: int, stop: int) -> Any:
    """The rows, or columns, [start, stop) of a matrix."""
    if start % low.units or stop % low.units:
        raise Untraceable(
            f"{node.target} from {start} to {stop} of a matrix: only whole blocks of "
            f"{low.units} units can be cut out",
            node,
        )
    matrix = _matrix(low, node, x)
    grid = matrix.grid if dim % 2 == 0 else _turn(matrix.grid)
    grid = grid[start // low.units : stop // low.units]
    return Matrix(matrix.own, grid if dim % 2 == 0 else _turn(grid), matrix.transposed)


@_of_matrices("slice")
def _slice(
    low: Lowering,
    node: fx.Node,
    a: fx.Node,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    start, stop, step = slice(start, end, step).indices(a.meta["val"].shape[dim])
    if step != 1:
        raise Untraceable(f"{node.target} with step {step} of a matrix", node)
    return _along(low, node, low.any(a), dim, start, stop)


def _split(low: Lowering, node: fx.Node, a: fx.Node, sizes: Any, dim: int = 0) -> list[Any]:
    start, pieces = 0, []
    for piece in node.meta["val"]:
        stop = start + piece.shape[dim]
        pieces.append(_along(low, node, low.any(a), dim, start, stop))
        start = stop
    return pieces


for _name in ("split", "split_with_sizes", "chunk"):
    _of_matrices(_name)(_split)


@_of_matrices("cat")
def _cat(low: Lowering, node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> Any:
    outers = []
    for tensor in tensors:
        x, shape = low.any(tensor), tensor.meta["val"].shape
        if isinstance(x, Matrix) or _is_own_matrix(x):
            raise Untraceable(f"{node.target} of matrices: join what they give instead", node)
        # Anything but the gradient of a matrix is the zero gradient of a part that was not used.
        outers.append(x.grid if isinstance(x, OuterProduct) else _empty(low, shape))
    if dim % 2 == 1:
        return OuterProduct(_turn(sum(map(_turn, outers), ())))
    return OuterProduct(sum(outers, ()))


def _empty(low: Lowering, shape: Sequence[int]) -> Grid[tuple[tuple[int, int], ...]]:
    rows, columns = (size // low.units for size in shape)
    return (((),) * columns,) * rows


@rule("slice_scatter", moves=True)
def _slice_scatter(
    low: Lowering,
    node: fx.Node,
    onto: fx.Node,
    a: fx.Node,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    """The gradient of a slice: zeros around it."""
    shape = onto.meta["val"].shape
    first, stop, _ = slice(start, end, step).indices(shape[dim])
    x = low.any(a)
    if isinstance(x, OuterProduct):
        around = [list(shape), list(shape)]
        around[0][dim], around[1][dim] = first, shape[dim] - stop
        parts = [_empty(low, around[0]), x.grid, _empty(low, around[1])]
        return OuterProduct(sum(parts, ()) if dim % 2 == 0 else _turn(sum(map(_turn, parts), ())))
    if dim % len(shape) != len(shape) - 1 or first % low.units or stop % low.units or step != 1:
        raise Untraceable(f"{node.target} along dimension {dim}", node)
    zero = low.graph.as_tile(low.graph.constant(0.0))
    before, after = first // low.units, (shape[dim] - stop) // low.units
    return Tiles((zero,) * before + low.value(a).parts + (zero,) * after)
