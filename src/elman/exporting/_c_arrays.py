"""Weights, their scales and texts as C arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from elman._errors import ConfigError
from elman.exporting._c_operations import float_text
from elman.exporting._nodes import ConstantArray, Lookup, StepGraph, WeightProduct

_LONGEST = 4095
"""The bytes of a string that every C99 compiler takes."""


class Array(NamedTuple):
    """A constant of the file.

    Attributes:
        name: in C.
        value: float32, int32 or int8.
        scale: of each column of int8 numbers, or of each row where ``by_row``.
        by_row: whether the numbers of a row share a scale, as in a table of embeddings.
    """

    name: str
    value: Tensor
    scale: Tensor | None = None
    by_row: bool = False

    @property
    def bytes(self) -> int:
        scales = 0 if self.scale is None else 4 * self.scale.numel()
        return self.value.numel() * self.value.element_size() + scales


def arrays_of(graph: StepGraph, prefix: str, *, int8: bool) -> dict[int, Array]:
    """The array of each constant, by its identity; matrices and tables as int8 if asked for."""
    matrices = {id(n.matrix): False for n in graph.nodes if isinstance(n, WeightProduct)}
    tables = {id(n.table): True for n in graph.nodes if isinstance(n, Lookup)}
    names = _names(graph.constants, prefix)
    arrays = {}
    for constant in graph.constants:
        by_row = {**matrices, **tables}.get(id(constant))
        value = constant.value.detach().cpu()
        name = names[id(constant)]
        if not bool(torch.isfinite(value.float()).all()):
            raise ConfigError(
                f"{constant.name or name} has numbers that are not finite: train again"
            )
        if int8 and by_row is not None:
            arrays[id(constant)] = Array(name, *quantized(value.float(), by_row), by_row)
        else:
            dtype = torch.float32 if constant.kind == "float" else torch.int32
            arrays[id(constant)] = Array(name, value.to(dtype))
    return arrays


def quantized(value: Tensor, by_row: bool) -> tuple[Tensor, Tensor]:
    """The matrix (K, N) as int8, and a scale for each of its columns, or rows.

    >>> numbers, scale = quantized(torch.tensor([[1.0, -4.0], [0.5, 2.0]]), False)
    >>> numbers.tolist(), (numbers * scale)[0].tolist()
    ([[127, -127], [64, 64]], [1.0, -4.0])
    """
    dim = 1 if by_row else 0
    scale = value.abs().amax(dim) / 127
    safe = torch.where(scale > 0, scale, torch.ones_like(scale)).unsqueeze(dim)
    return (value / safe).round().clamp(-127, 127).to(torch.int8), scale


def _names(constants: Sequence[ConstantArray], prefix: str) -> dict[int, str]:
    """Distinct names: those of parameters, or of what is computed of them."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for constant in constants:
        stem = identifier(f"{prefix}_{constant.name or 'constant'}")
        name, count = stem, 1
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        taken.add(name)
        names[id(constant)] = name
    return names


def identifier(name: str) -> str:
    """Letters, digits and underscores of a name."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


def declared(array: Array) -> Iterator[str]:
    """The lines that define the array."""
    match array.value.dtype:
        case torch.int8:
            kind, texts = "int8_t", map(str, array.value.flatten().tolist())
        case torch.int32:
            kind, texts = "int32_t", map(str, array.value.flatten().tolist())
        case _:
            kind, texts = "float", map(float_text, array.value.flatten().tolist())
    sizes = " x ".join(map(str, array.value.shape))
    yield f"static const {kind} {array.name}[{array.value.numel()}] = {{ /* {sizes} */"
    yield from filled(texts)
    yield "};"
    if array.scale is not None:
        yield f"static const float {array.name}_scale[{array.scale.numel()}] = {{"
        yield from filled(map(float_text, array.scale.tolist()))
        yield "};"


def filled(texts: Iterable[str]) -> Iterator[str]:
    """The numbers of an array, ten a line."""
    rest = iter(texts)
    while some := list(islice(rest, 10)):
        yield "    " + ", ".join(some) + ","


def quoted(text: str) -> str:
    r"""A text as a C string, of bytes in UTF-8.

    >>> quoted('a "b"?')
    '"a \\"b\\"\\?"'

    Raises:
        ConfigError: it is too long for a C string.
    """
    data = text.encode()
    if len(data) > _LONGEST:
        raise ConfigError(f"a token or label of {len(data):,} bytes is too long for C: shorten it")
    return '"' + "".join(map(_escaped, data)) + '"'


def _escaped(byte: int) -> str:
    character = chr(byte)
    if character in '"\\?':  # two question marks would begin a trigraph
        return f"\\{character}"
    return character if 32 <= byte < 127 else f"\\{byte:03o}"


def commented(text: str) -> str:
    """A text that may stand in a comment: ASCII, and no end of it, no splice, no trigraph.

    >>> commented("a */ b")
    'a * / b'
    """
    plain = text.encode("ascii", "backslashreplace").decode()
    plain = re.sub(r"[^ -~]", " ", plain).replace("*/", "* /").replace("/*", "/ *")
    return plain.replace("??", "? ?").rstrip("\\ ")
