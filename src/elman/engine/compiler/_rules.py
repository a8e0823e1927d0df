"""How elementwise operations are lowered: one instruction, or a few."""

# ruff: noqa: ARG001 - a rule takes what the operation does
from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from elman.engine.compiler._kinds import DtypeKind
from elman.engine.compiler._lower import Lowering, Tiles, Untraceable, rule

_ALL = "real bool whole"


def _one(name: str, operands: int, ours: str, gives: str = "real", moves: bool = False) -> None:
    """Registers an operation that is one instruction on its tensors, and takes nothing else."""

    def unary(low: Lowering, node: fx.Node, a: Any) -> Tiles:
        return low.map(ours, a)

    def binary(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
        return low.map(ours, a, b)

    rule(name, gives=gives, moves=moves)(unary if operands == 1 else binary)


for _name in (
    "exp", "expm1", "log", "log1p", "log2", "log10", "exp2", "sin", "cos", "tan", "asin", "acos",
    "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf", "erfc", "lgamma", "sigmoid", "tanh",
    "sqrt", "rsqrt",
):  # fmt: skip
    _one(_name, 1, _name, "real")
for _name in ("neg", "abs"):
    _one(_name, 1, _name, "real whole")
for _name in ("relu", "sign", "floor", "ceil", "trunc"):
    _one(_name, 1, _name, moves=True)  # of an integer rounded, what they give is rounded too
_one("sgn", 1, "sign", moves=True)
for _name in ("atan2", "fmod", "hypot", "copysign", "sigmoid_backward", "tanh_backward"):
    _one(_name, 2, _name, "real")
for _name in ("maximum", "minimum"):
    _one(_name, 2, _name, moves=True)
for _name in ("lt", "le", "eq"):
    _one(_name, 2, _name, "bool")


# ---- arithmetic ----


@rule("mul", "multiply", gives=_ALL)
def _mul(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("mul", a, b)


@rule("sub", gives="real whole")
def _sub(low: Lowering, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Tiles:
    return low.map("sub", a, low.map("mul", b, alpha))


@rule("rsub", gives="real whole")
def _rsub(low: Lowering, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Tiles:
    return low.map("sub", b, low.map("mul", a, alpha))


@rule("div", "true_divide")
def _div(low: Lowering, node: fx.Node, a: Any, b: Any, rounding_mode: str | None = None) -> Tiles:
    if rounding_mode is None:
        return low.map("div", a, b)
    if rounding_mode == "trunc":
        return low.map("trunc", low.map("quotient", a, b))
    return _floor_divide(low, node, a, b)


@rule("floor_divide")
def _floor_divide(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    """Floor division from the remainder, as torch computes it, so that the two agree."""
    rest = low.map("fmod", a, b)
    quotient = low.map("quotient", low.map("sub", a, rest), b)
    quotient = low.map("sub", quotient, _crosses_zero(low, rest, b))
    floor = low.map("floor", quotient)
    floor = low.map("add", floor, low.map("lt", 0.5, low.map("sub", quotient, floor)))
    plain = low.map("quotient", a, b)
    signed_zero = low.map("copysign", 0.0, plain)
    floor = low.map("where", low.map("eq", quotient, 0.0), signed_zero, floor)
    return low.map("where", low.map("eq", b, 0.0), plain, floor)


def _crosses_zero(low: Lowering, rest: Tiles, b: Any) -> Tiles:
    """1 where the remainder and the divisor have opposite signs."""
    apart = low.map("ne", low.map("lt", rest, 0.0), low.map("lt", b, 0.0))
    return low.map("mul", low.map("ne", rest, 0.0), apart)


@rule("remainder")
def _remainder(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    rest = low.map("fmod", a, b)
    return low.map("where", _crosses_zero(low, rest, b), low.map("add", rest, b), rest)


@rule("reciprocal")
def _reciprocal(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("div", 1.0, a)


@rule("ldexp")
def _ldexp(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("mul", a, low.map("pow", 2.0, b))


@rule("square", gives="real whole")
def _square(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("mul", a, a)


@rule("addcmul")
def _addcmul(low: Lowering, node: fx.Node, a: Any, b: Any, c: Any, value: float = 1) -> Tiles:
    return low.map("add", a, low.map("mul", low.map("mul", b, c), value))


@rule("addcdiv")
def _addcdiv(low: Lowering, node: fx.Node, a: Any, b: Any, c: Any, value: float = 1) -> Tiles:
    return low.map("add", a, low.map("mul", low.map("div", b, c), value))


@rule("pow", gives="real whole")
def _pow(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    if isinstance(b, (int, float)):
        if b == 0.5:
            return low.map("sqrt", a)
        if float(b).is_integer() and 0 <= abs(b) <= 4:
            power = low.map("where", 1.0, 1.0, a)
            for _ in range(int(abs(b))):
                power = low.map("mul", power, a)
            return power if b >= 0 else low.map("div", 1.0, power)
    return low.map("pow", a, b)


@rule("round", moves=True)
def _round(low: Lowering, node: fx.Node, a: Any, decimals: int = 0) -> Tiles:
    if not decimals or low.types.kind(node) is not DtypeKind.REAL:
        return low.map("round", a)
    # As torch has it: by a power of ten that is itself exact, multiplied or divided.
    power = 10.0 ** abs(decimals)
    there, back = ("mul", "quotient") if decimals > 0 else ("quotient", "mul")
    return low.map(back, low.map("round", low.map(there, a, power)), power)


@rule("frac")
def _frac(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("sub", a, low.map("trunc", a))


# ---- comparisons and conditions ----


@rule("gt", gives="bool")
def _gt(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("lt", b, a)


@rule("ge", gives="bool")
def _ge(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("le", b, a)


@rule("ne", gives="bool")
def _ne(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("ne", a, b)


@rule("where", gives=_ALL, moves=True)
def _where(low: Lowering, node: fx.Node, condition: Any, a: Any, b: Any) -> Tiles:
    return low.map("where", condition, a, b)


@rule("logical_and", gives="bool", moves=True)
def _logical_and(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("mul", low.truth(a), low.truth(b))


@rule("logical_or", gives="bool", moves=True)
def _logical_or(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("maximum", low.truth(a), low.truth(b))


@rule("logical_xor", gives="bool", moves=True)
def _logical_xor(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("ne", low.truth(a), low.truth(b))


@rule("logical_not", gives="bool", moves=True)
def _logical_not(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("eq", a, 0.0)


@rule("bitwise_not", gives="bool whole")
def _bitwise_not(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    boolean = low.types.kind(node) is DtypeKind.BOOL
    return low.map("eq", a, 0.0) if boolean else low.map("sub", -1.0, a)


# Of integers, these would need their bits.
rule("bitwise_and", "__and__", gives="bool")(_mul)
rule("bitwise_xor", "__xor__", gives="bool")(_ne)


@rule("bitwise_or", "__or__", gives="bool")
def _bitwise_or(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return low.map("maximum", a, b)


@rule("isnan", gives="bool", moves=True)
def _isnan(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("ne", a, a)


@rule("isinf", gives="bool", moves=True)
def _isinf(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("eq", low.map("abs", a), math.inf)


@rule("isfinite", gives="bool", moves=True)
def _isfinite(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("lt", low.map("abs", a), math.inf)


@rule("isposinf", gives="bool", moves=True)
def _isposinf(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("eq", a, math.inf)


@rule("isneginf", gives="bool", moves=True)
def _isneginf(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("eq", a, -math.inf)


@rule("angle")
def _angle(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    half = low.map("where", low.map("lt", a, 0.0), math.pi, 0.0)
    return low.map("where", low.map("ne", a, a), a, half)


@rule("signbit", gives="bool", moves=True)
def _signbit(low: Lowering, node: fx.Node, a: Any) -> Tiles:
    return low.map("lt", low.map("copysign", 1.0, a), 0.0)


# ---- between bounds ----


@rule("clamp", "hardtanh", moves=True)
def _clamp(
    low: Lowering, node: fx.Node, a: Any, low_end: Any = None, high_end: Any = None
) -> Tiles:
    whole = low.types.kind(node) is DtypeKind.WHOLE
    if whole and any(isinstance(end, float) and end % 1 for end in (low_end, high_end)):
        raise Untraceable(f"{node.target} of integers between {low_end} and {high_end}", node)
    # An end that is as large as the value, which may be -0 where it is 0, is not taken.
    value = low.value(a) if low_end is None else low.map("maximum", low_end, a)
    return value if high_end is None else low.map("minimum", high_end, value)


@rule("clamp_min", moves=True)
def _clamp_min(low: Lowering, node: fx.Node, a: Any, end: Any) -> Tiles:
    return low.map("maximum", end, a)


@rule("clamp_max", moves=True)
def _clamp_max(low: Lowering, node: fx.Node, a: Any, end: Any) -> Tiles:
    return low.map("minimum", end, a)


@rule("fmax", moves=True)
def _fmax(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return _but_for_nan(low, "maximum", a, b)


@rule("fmin", moves=True)
def _fmin(low: Lowering, node: fx.Node, a: Any, b: Any) -> Tiles:
    return _but_for_nan(low, "minimum", a, b)


def _but_for_nan(low: Lowering, op: str, a: Any, b: Any) -> Tiles:
    """The other operand where one is NaN."""
    chosen = low.map("where", low.map("ne", b, b), a, low.map(op, a, b))
    return low.map("where", low.map("ne", a, a), b, chosen)


@rule("leaky_relu")
def _leaky_relu(low: Lowering, node: fx.Node, a: Any, slope: float = 0.01) -> Tiles:
    return low.map("where", low.map("lt", 0.0, a), a, low.map("mul", a, slope))


@rule("elu")
def _elu(
    low: Lowering, node: fx.Node, a: Any, alpha: float = 1.0, scale: float = 1.0, inner: float = 1.0
) -> Tiles:
    curve = low.map("mul", low.map("expm1", low.map("mul", a, inner)), alpha * scale)
    return low.map("where", low.map("lt", 0.0, a), low.map("mul", a, scale), curve)


@rule("threshold_backward")
def _threshold_backward(
    low: Lowering, node: fx.Node, gradient: Any, a: Any, threshold: float
) -> Tiles:
    return low.map("where", low.map("le", a, threshold), 0.0, gradient)


# ---- constants and conversions ----


def _creates(count: int, number: float | None, *names: str) -> None:
    """Registers what makes a tensor full of a number: the last of ``count`` arguments, if None."""

    def created(
        low: Lowering,
        node: fx.Node,
        first: Any,
        second: Any = None,
        third: Any = None,
        *,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: Any = None,
        memory_format: Any = None,
    ) -> Tiles:
        value = (first, second, third)[count - 1] if number is None else number
        return _constant(low, node, value)

    rule(*names, moves=True)(created)


_creates(1, 0.0, "_efficientzerotensor")
_creates(1, None, "scalar_tensor")
_creates(2, None, "full", "full_like")
_creates(3, None, "new_full")
_creates(2, 0.0, "zeros", "zeros_like", "new_zeros")
_creates(2, 1.0, "ones", "ones_like", "new_ones")
_creates(3, math.nan, "empty_permuted", "empty_like", "empty", "new_empty")
_creates(3, math.nan, "new_empty_strided", "empty_strided")


def _constant(low: Lowering, node: fx.Node, number: Any) -> Tiles:
    """A constant, rounded to the dtype of the node."""
    tensor = node.meta["val"]
    try:
        rounded = torch.full((), number, dtype=tensor.dtype).item()
    except (RuntimeError, TypeError):
        rounded = None
    if not isinstance(rounded, (bool, int, float)) or tensor.layout != torch.strided:
        raise Untraceable(f"{node.target} of {number} in {tensor.dtype} is no constant", node)
    if low.types.kind(node) is DtypeKind.WHOLE:
        low.types.ranges[node] = (rounded, rounded)
    return low.value(rounded)


@rule("alias", "detach", "lift_fresh", "lift_fresh_copy", "contiguous", "clone", moves=True)
def _same(low: Lowering, node: fx.Node, a: Any, memory_format: Any = None) -> Any:
    return low.any(a)


@rule("copy", moves=True)
def _copy(low: Lowering, node: fx.Node, onto: Any, a: Any) -> Any:
    return _converted(low, node, a)


@rule("_to_copy", moves=True)
def _to_copy(
    low: Lowering,
    node: fx.Node,
    a: Any,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> Any:
    return _converted(low, node, a)


def _converted(low: Lowering, node: fx.Node, a: Any) -> Any:
    """A conversion to another dtype, in which no number may lose or gain digits."""
    before, after = low.types.kind(a), low.types.kind(node)
    if before is after is not DtypeKind.FOREIGN:
        return low.any(a)
    if after is DtypeKind.BOOL:
        return low.truth(a)
    known = low.known(a)
    if known is not None and math.isfinite(known):
        return _constant(low, node, known)
    if after in (DtypeKind.REAL, DtypeKind.NARROW) and before in (
        DtypeKind.BOOL,
        DtypeKind.WHOLE,
        DtypeKind.NARROW,
    ):
        return low.value(a)
    if after is DtypeKind.WHOLE and before is DtypeKind.BOOL:
        return low.value(a)
    dtype = node.meta["val"].dtype
    raise Untraceable(f"{node.target} to {dtype}: programs compute in one dtype", node)
