"""Cells: what happens in one time step. One cell a file; ``CELLS`` is the list of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from elman.cells.references import lookup

if TYPE_CHECKING:
    from elman.cells._antisymmetric import AntisymmetricRNN as AntisymmetricRNN
    from elman.cells._atr import ATR as ATR
    from elman.cells._base import WEIGHT_NAMES as WEIGHT_NAMES
    from elman.cells._base import Cell as Cell
    from elman.cells._base import PointwiseCell as PointwiseCell
    from elman.cells._base import Weights as Weights
    from elman.cells._base import named_tuple as named_tuple
    from elman.cells._base import watching as watching
    from elman.cells._br import BR as BR
    from elman.cells._cfn import CFN as CFN
    from elman.cells._cornn import CoRNN as CoRNN
    from elman.cells._dsgu import DSGU as DSGU
    from elman.cells._elman import Activation as Activation
    from elman.cells._elman import Elman as Elman
    from elman.cells._fastgrnn import FastGRNN as FastGRNN
    from elman.cells._fastrnn import FastRNN as FastRNN
    from elman.cells._gated_antisymmetric import GatedAntisymmetricRNN as GatedAntisymmetricRNN
    from elman.cells._gru import GRU as GRU
    from elman.cells._intersection import IntersectionRNN as IntersectionRNN
    from elman.cells._janet import JANET as JANET
    from elman.cells._lem import LEM as LEM
    from elman.cells._lightru import LightRU as LightRU
    from elman.cells._ligru import LiGRU as LiGRU
    from elman.cells._lstm import LSTM as LSTM
    from elman.cells._mclstm import MCLSTM as MCLSTM
    from elman.cells._mgu import MGU as MGU
    from elman.cells._minimalrnn import MinimalRNN as MinimalRNN
    from elman.cells._nbr import NBR as NBR
    from elman.cells._projected import Projected as Projected
    from elman.cells._sgu import SGU as SGU
    from elman.cells._wmclstm import WMCLSTM as WMCLSTM
    from elman.cells.references import provide as provide
    from elman.cells.references import resolve as resolve

_MODULES = {
    "Elman": "_elman",
    "LSTM": "_lstm",
    "GRU": "_gru",
    "AntisymmetricRNN": "_antisymmetric",
    "GatedAntisymmetricRNN": "_gated_antisymmetric",
    "ATR": "_atr",
    "BR": "_br",
    "NBR": "_nbr",
    "CFN": "_cfn",
    "CoRNN": "_cornn",
    "SGU": "_sgu",
    "DSGU": "_dsgu",
    "FastRNN": "_fastrnn",
    "FastGRNN": "_fastgrnn",
    "IntersectionRNN": "_intersection",
    "JANET": "_janet",
    "LEM": "_lem",
    "LiGRU": "_ligru",
    "LightRU": "_lightru",
    "MCLSTM": "_mclstm",
    "WMCLSTM": "_wmclstm",
    "MGU": "_mgu",
    "MinimalRNN": "_minimalrnn",
}
CELLS: tuple[tuple[str, str], ...] = tuple(
    (name.lower(), f"{__name__}.{module}:{name}") for name, module in _MODULES.items()
)
"""Names and where to find them, so that the command line lists choices without importing torch."""

_WHERE = {
    **dict.fromkeys(
        ("WEIGHT_NAMES", "Cell", "PointwiseCell", "Weights", "named_tuple", "watching"), "_base"
    ),
    "Activation": "_elman",
    "Projected": "_projected",
    **dict.fromkeys(("provide", "resolve"), "references"),
    **_MODULES,
}

__all__ = ["CELLS", "by_name", *_WHERE]  # noqa: PLE0604


def by_name(name: str) -> type[Cell]:
    """The cell class of this name, in upper or lower case.

    Also of a reference that `resolve` has loaded, or whose class a block of `provide` holds.

    Raises:
        ConfigError: an unknown name, with the nearest one; or a reference to a file or module,
            which is not executed here.

    >>> by_name("gru").__name__
    'GRU'
    """
    return lookup(name)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
