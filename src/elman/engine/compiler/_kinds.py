"""Types in a program: it computes in one float type, and knows what else is exact in it.

A boolean is 0 or 1, an integer a number that never leaves the range in which every integer is a
number of the float type, nor that of its own type, where torch would let it wrap around.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor, fx

Range = tuple[float, float]
# Up to here a float type holds every integer.
_EXACT = {torch.float32: 2.0**24, torch.float64: 2.0**53}


class DtypeKind(Enum):
    """What a tensor holds, beside a program's own float type, which is REAL.

    NARROW is float32 in a program of float64: what torch makes of booleans or integers and a number
    of Python's, if float32 is its default.
    """

    REAL = "real"
    BOOL = "bool"
    WHOLE = "whole"
    NARROW = "narrow"
    FOREIGN = "foreign"


def kind_of(dtype: torch.dtype, own: torch.dtype) -> DtypeKind:
    """The kind of a dtype in a program of the dtype ``own``."""
    if dtype == own:
        return DtypeKind.REAL
    if dtype == torch.bool:
        return DtypeKind.BOOL
    if dtype == torch.float32:
        return DtypeKind.NARROW if own == torch.float64 else DtypeKind.FOREIGN
    return DtypeKind.WHOLE if is_integer(dtype) else DtypeKind.FOREIGN


def is_integer(dtype: torch.dtype) -> bool:
    """Whether its numbers are integers, and not booleans."""
    return dtype in _INTEGERS


_INTEGERS = frozenset(
    getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)
)


def range_of(dtype: torch.dtype) -> Range:
    """The smallest and the largest number of a boolean or integer dtype."""
    if dtype == torch.bool:
        return (0, 1)
    limits = torch.iinfo(dtype)
    return (limits.min, limits.max)


def is_exact(numbers: Range, own: torch.dtype) -> bool:
    """Whether ``own`` has every integer in this range."""
    return max(map(abs, numbers)) <= _EXACT[own]


def hull(*ranges: Range) -> Range:
    """The smallest range that contains all of these."""
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


def _add(a: Range, b: Range, alpha: Range = (1, 1)) -> Range:
    b = _mul(b, alpha)
    return a[0] + b[0], a[1] + b[1]


def _neg(a: Range) -> Range:
    return -a[1], -a[0]


def _sub(a: Range, b: Range, alpha: Range = (1, 1)) -> Range:
    return _add(a, _neg(_mul(b, alpha)))


def _mul(a: Range, b: Range) -> Range:
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


def _abs(a: Range) -> Range:
    return (0, max(map(abs, a)))


def _clamp(a: Range, low: Range | None = None, high: Range | None = None) -> Range:
    if low is not None:
        a = max(a[0], low[0]), max(a[1], low[1])
    return a if high is None else (min(a[0], high[0]), min(a[1], high[1]))


def _pow(a: Range, b: Range) -> Range | None:
    """The range of a power whose exponent is known and small; None for any other."""
    if b not in ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4)):
        return None
    power = (1.0, 1.0)
    for _ in range(int(b[0])):
        power = _mul(power, a)
    return power


# What an operation on integers makes of the ranges of its arguments.
RANGES: dict[str, Callable[..., Range | None]] = {
    "add": _add,
    "sub": _sub,
    "rsub": lambda a, b, alpha=(1, 1): _sub(b, a, alpha),
    "mul": _mul,
    "neg": _neg,
    "abs": _abs,
    "bitwise_not": lambda a: _sub((-1, -1), a),
    "sign": lambda _: (-1, 1),
    "sgn": lambda _: (-1, 1),
    "relu": lambda a: (max(a[0], 0), max(a[1], 0)),
    "square": lambda a: _mul(_abs(a), _abs(a)),
    **dict.fromkeys(("maximum", "fmax"), lambda a, b: (max(a[0], b[0]), max(a[1], b[1]))),
    **dict.fromkeys(("minimum", "fmin"), lambda a, b: (min(a[0], b[0]), min(a[1], b[1]))),
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": lambda a, high: _clamp(a, None, high),
    "pow": _pow,
    **dict.fromkeys(("ceil", "floor", "round", "trunc"), lambda a: a),
}


def compute_dtype(operands: Sequence[Any]) -> torch.dtype:
    """What torch computes in when it compares or combines these tensors and numbers."""
    from torch._prims_common import ELEMENTWISE_TYPE_PROMOTION_KIND, elementwise_dtypes

    kind = ELEMENTWISE_TYPE_PROMOTION_KIND.DEFAULT
    dtype: torch.dtype = elementwise_dtypes(*operands, type_promotion_kind=kind)[0]
    return dtype


def tensors_of(node: fx.Node) -> list[Tensor]:
    """The tensors that an operation returns."""
    value = node.meta["val"]
    return [t for t in (value if isinstance(value, (tuple, list)) else [value]) if t is not None]


def flat(args: Iterable[Any]) -> Iterator[Any]:
    """The arguments, with lists of them flattened."""
    for x in args:
        yield from flat(x) if isinstance(x, (list, tuple)) else (x,)


class Types:
    """The kind of every tensor of a traced graph, and the range of its integers.

    Args:
        own: the float type that the program computes in.
        known: the one number that a tensor is full of; None where there is none.
    """

    def __init__(self, own: torch.dtype, known: Callable[[fx.Node], float | None]) -> None:
        self.own, self.known = own, known
        self.ranges: dict[fx.Node, Range] = {}

    def kind(self, x: Any) -> DtypeKind:
        """The kind of a tensor or a number."""
        if isinstance(x, fx.Node):
            return kind_of(x.meta["val"].dtype, self.own)
        return (
            DtypeKind.BOOL
            if isinstance(x, bool)
            else DtypeKind.WHOLE
            if isinstance(x, int)
            else DtypeKind.REAL
        )

    def range(self, x: Any) -> Range:
        """The smallest and the largest value that an integer or a boolean can have."""
        if isinstance(x, fx.Node):
            return self.ranges.get(x) or range_of(x.meta["val"].dtype)
        return (x, x)

    def wrong_operands(
        self, node: fx.Node, gives: Collection[DtypeKind], moves: bool
    ) -> str | None:
        """Why the program's type cannot stand in for those that torch computes in here.

        Args:
            node: the operation.
            gives: the kinds of result that its rule is right for.
            moves: whether it only takes numbers from one place, or type, to another.
        """
        for x in node.all_input_nodes:
            if any(self._is_foreign(x, t, moves) for t in tensors_of(x)):
                return self._wrong(node, x.meta["val"].dtype)
        for tensor in tensors_of(node):
            kind = kind_of(tensor.dtype, self.own)
            # A float64 that torch rounds to float32 would keep its digits in this program.
            if kind is DtypeKind.NARROW and self._narrows(node):
                return self._wrong(node, tensor.dtype)
            if (DtypeKind.REAL if kind is DtypeKind.NARROW else kind) not in gives:
                return self._wrong(node, tensor.dtype)
            if kind in (DtypeKind.WHOLE, DtypeKind.BOOL) and not moves:
                return self._inexact_operands(node)
        return None

    def _narrows(self, node: fx.Node) -> bool:
        """Whether an input of the program's own dtype would lose digits in float32."""
        inputs = (x for x in node.all_input_nodes if isinstance(x.meta["val"], Tensor))
        return any(self.kind(x) is DtypeKind.REAL and self.known(x) is None for x in inputs)

    def _is_foreign(self, x: fx.Node, tensor: Tensor, moves: bool) -> bool:
        """Whether torch would compute in the type of this tensor: a single number's gives way."""
        if kind_of(tensor.dtype, self.own) is not DtypeKind.FOREIGN:
            return False
        gives_way = tensor.is_floating_point() and (moves or not tensor.dim())
        return not gives_way or self.known(x) is None

    def _inexact_operands(self, node: fx.Node) -> str | None:
        # torch first promotes the operands to one dtype. The program computes in its own, which
        # must hold each of them as exactly.
        operands = [x for x in flat(node.args) if isinstance(x, (fx.Node, bool, int, float))]
        computed = compute_dtype([x.meta["val"] if isinstance(x, fx.Node) else x for x in operands])
        kind = kind_of(computed, self.own)
        numbers = [x for x in operands if isinstance(x, float)]
        exact = all(x == ctypes.c_float(x).value for x in numbers)
        if kind is DtypeKind.FOREIGN or (kind is DtypeKind.NARROW and not exact):
            return self._wrong(node, computed)
        for x in operands:
            if kind is DtypeKind.WHOLE and not is_exact(self.range(x), self.own):
                return self._inexact(node, self.range(x))
        return None

    def wrong_result(self, node: fx.Node, name: str, moves: bool) -> str | None:
        """Why the integers that this gives may be others than torch's; notes their range."""
        for tensor in tensors_of(node):
            if kind_of(tensor.dtype, self.own) is not DtypeKind.WHOLE:
                continue
            numbers = self.ranges.get(node) or self._result(node, name)
            if numbers is None:
                return f"{node.target} in {tensor.dtype}: integers are not computed with so"
            low, high = range_of(tensor.dtype)
            fits = low <= numbers[0] and numbers[1] <= high
            if not fits or not (moves or is_exact(numbers, self.own)):
                return self._inexact(node, numbers)
            self.ranges[node] = numbers
        return None

    def _result(self, node: fx.Node, name: str) -> Range | None:
        if name in RANGES:
            args = [None if x is None else self.range(x) for x in node.args]
            return RANGES[name](*args, **{k: self.range(v) for k, v in node.kwargs.items()})
        # An operation that only selects (where, cat, amax) stays within its inputs' ranges.
        of_inputs = [self.range(x) for x in node.all_input_nodes if self._counts(x)]
        return hull(*of_inputs) if of_inputs else None

    def _counts(self, x: fx.Node) -> bool:
        return isinstance(x.meta["val"], Tensor) and self.kind(x) in (
            DtypeKind.WHOLE,
            DtypeKind.BOOL,
        )

    def _wrong(self, node: fx.Node, dtype: torch.dtype) -> str:
        return f"{node.target} in {dtype}: programs compute in one dtype, and this in {self.own}"

    def _inexact(self, node: fx.Node, numbers: Range) -> str:
        return (
            f"{node.target} of integers that may be {numbers[0]} to {numbers[1]}: this program "
            f"computes in {self.own}, which neither holds all of these nor wraps around"
        )
