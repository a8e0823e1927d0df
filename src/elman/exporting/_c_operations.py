"""Operations number by number as C expressions."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from elman._errors import ConfigError
from elman.exporting._nodes import Kind, Number

# {p} is what names of the file begin with; the operands are {0}, {1} and {2}.
_OWN = ("sigmoid", "tanh", "exp", "expm1", "relu")
_WORDS = """
log1p log2 log10 exp2 sqrt sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc floor
ceil trunc log lgamma
"""
_LIBM = _WORDS.split()
_LIBM_TWO = ["fmod", "atan2", "hypot", "copysign"]

TEMPLATES: dict[str, str] = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "reciprocal": "1.0f / {0}",
    "abs": "{0} < 0.0f ? -{0} : {0}",
    "sign": "(float)(({0} > 0.0f) - ({0} < 0.0f))",
    "maximum": "{0} > {1} || {0} != {0} ? {0} : {1}",
    "minimum": "{0} < {1} || {0} != {0} ? {0} : {1}",
    "where": "{0} ? {1} : {2}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "isnan": "{0} != {0}",
    "logical_and": "{0} && {1}",
    "logical_or": "{0} || {1}",
    "logical_xor": "!{0} != !{1}",
    "logical_not": "!{0}",
    "bitwise_and": "{0} && {1}",
    "bitwise_or": "{0} || {1}",
    "bitwise_xor": "!{0} != !{1}",
    "bitwise_not": "!{0}",
    "copy": "{0}",
    "rsqrt": "1.0f / {sqrt}({0})",
    "round": "rintf({0})",
    "pow": "powf({0}, {1})",
    **{name: "{p}_" + name + "({0})" for name in _OWN},
    **{name: name + "f({0})" for name in _LIBM},
    **{name: name + "f({0}, {1})" for name in _LIBM_TWO},
}
"""Of each operation of a graph: its C, with libm."""

WITHOUT_LIBM = {"log": "{p}_log({0})", "log1p": "{p}_log1p({0})", "sqrt": "{p}_sqrt({0})"}

_POWERS = {1.0: "{0}", 2.0: "{0} * {0}", 3.0: "{0} * {0} * {0}", -1.0: "1.0f / {0}"}

_CALL = re.compile(r"\b([a-z0-9]+f)\(")


class Dialect(NamedTuple):
    """How operations are spelled.

    Attributes:
        prefix: what the names of the file begin with.
        libm: whether the functions of math.h are called.
    """

    prefix: str
    libm: bool

    def expression(self, op: str, operands: list[str], power: Number | None = None) -> str:
        """The C of an operation.

        Args:
            op: the operation.
            operands: in C, each a name, a literal or in brackets.
            power: the exponent of "pow", where it is a known number.

        Raises:
            ConfigError: it needs libm.
        """
        template = _POWERS.get(float(power)) if power is not None else None
        if power == 0.5:
            op, operands = "sqrt", operands[:1]
        template = template or TEMPLATES[op]
        if not self.libm:
            template = WITHOUT_LIBM.get(op, template)
            if _CALL.search(template):
                raise ConfigError(
                    f"{op} needs math.h, and only exp, expm1, log, log1p, sigmoid, tanh and sqrt "
                    "are there without it: leave out --no-libm (libm=True)"
                )
        sqrt = "sqrtf" if self.libm else f"{self.prefix}_sqrt"
        return template.format(*operands, p=self.prefix, sqrt=sqrt)


def literal(number: Number, kind: Kind) -> str:
    """A number in C.

    >>> literal(1, "float"), literal(-0.5, "float"), literal(True, "int")
    ('1.0f', '(-0.5f)', '1')
    """
    if kind == "int":
        return str(int(number)) if number >= 0 else f"({int(number)})"
    if not math.isfinite(number):  # without the macros of math.h
        return "(0.0f / 0.0f)" if math.isnan(number) else f"({math.copysign(1, number)}f / 0.0f)"
    text = float_text(number)
    return f"({text})" if text.startswith("-") else text


def float_text(number: float) -> str:
    """A float32 that reads back as the same number."""
    text = f"{number:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
