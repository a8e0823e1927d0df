"""What every kind of export shares: its options, and the files that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from elman.exporting._report import Sizes

Weights = Literal["float32", "int8"]


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    Attributes:
        name: what the files and their names begin with.
        weights: "float32", or "int8" for matrices and embeddings of 8 bits with a scale a row.
        libm: whether the functions of math.h may be called.
        tokens: how many tokens there are, where the model reads tokens.
    """

    name: str
    weights: Weights = "float32"
    libm: bool = True
    tokens: int | None = None


class Files(NamedTuple):
    """The files of an export: their texts by name, and what they take on a device."""

    texts: Mapping[str, str]
    sizes: Sizes
