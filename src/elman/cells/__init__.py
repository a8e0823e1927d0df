"""Cells: what happens in one time step. One cell a file; ``CELLS`` is the list of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from elman.cells.references import lookup, provide, resolve

if TYPE_CHECKING:
    from elman.cells._base import (
        WEIGHT_NAMES,
        Cell,
        PointwiseCell,
        Weights,
        named_tuple,
        watching,
    )
    from elman.cells._elman import Activation, Elman
    from elman.cells._gru import GRU
    from elman.cells._lstm import LSTM
    from elman.cells._projected import Projected

CELLS: tuple[tuple[str, str], ...] = (
    ("elman", "elman.cells._elman:Elman"),
    ("lstm", "elman.cells._lstm:LSTM"),
    ("gru", "elman.cells._gru:GRU"),
)
"""Names and where to find them, so that the command line lists choices without importing torch."""

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "WEIGHT_NAMES",
    "Activation",
    "Cell",
    "Elman",
    "PointwiseCell",
    "Projected",
    "Weights",
    "by_name",
    "named_tuple",
    "provide",
    "resolve",
    "watching",
]

_BASE = ("WEIGHT_NAMES", "Cell", "PointwiseCell", "Weights", "named_tuple", "watching")
_WHERE = (
    dict.fromkeys(_BASE, "elman.cells._base")
    | {
        "Activation": "elman.cells._elman",
        "Projected": "elman.cells._projected",
    }
    | {path.partition(":")[2]: path.partition(":")[0] for _, path in CELLS}
)


def by_name(name: str) -> type[Cell]:
    """The cell class of this name, or of a reference that `resolve` or `provide` has made known.

    Raises:
        ConfigError: an unknown name, with the nearest one; or a reference to a file or module,
            none of which is executed here.

    >>> by_name("gru").__name__
    'GRU'
    """
    return lookup(name)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
