"""Cells: what happens in one time step. One cell a file; ``CELLS`` is the list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._lazy import lazy
from elman.cells.references import lookup

if TYPE_CHECKING:
    from elman.cells._base import map_tensors as map_tensors
    from elman.cells._base import tensors_of as tensors_of
    from elman.cells._clipped_state import ClippedState as ClippedState
    from elman.cells._learned_state import LearnedState as LearnedState
    from elman.cells._normalized_gates import NormalizedGates as NormalizedGates
    from elman.cells._normalized_state import NormalizedState as NormalizedState
    from elman.cells._recurrent_dropout import RecurrentDropout as RecurrentDropout
    from elman.cells._residual import Residual as Residual
    from elman.cells._weight_drop import WeightDrop as WeightDrop
    from elman.cells._wrapper import Wrapper as Wrapper
    from elman.cells._zoneout import Zoneout as Zoneout
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
    from elman.cells._chogru import ChoGRU as ChoGRU
    from elman.cells._cifg import CIFG as CIFG
    from elman.cells._cornn import CoRNN as CoRNN
    from elman.cells._dsgu import DSGU as DSGU
    from elman.cells._elementwise import ElementwiseCell as ElementwiseCell
    from elman.cells._elman import Activation as Activation
    from elman.cells._elman import Elman as Elman
    from elman.cells._fastgrnn import FastGRNN as FastGRNN
    from elman.cells._fastrnn import FastRNN as FastRNN
    from elman.cells._gated_antisymmetric import GatedAntisymmetricRNN as GatedAntisymmetricRNN
    from elman.cells._gru import GRU as GRU
    from elman.cells._indrnn import IndRNN as IndRNN
    from elman.cells._intersection import IntersectionRNN as IntersectionRNN
    from elman.cells._janet import JANET as JANET
    from elman.cells._layernormgru import LayerNormGRU as LayerNormGRU
    from elman.cells._layernormlstm import LayerNormLSTM as LayerNormLSTM
    from elman.cells._lem import LEM as LEM
    from elman.cells._lightru import LightRU as LightRU
    from elman.cells._ligru import LiGRU as LiGRU
    from elman.cells._linear import LinearCell as LinearCell
    from elman.cells._linoss import LinOSS as LinOSS
    from elman.cells._lru import LRU as LRU
    from elman.cells._lstm import LSTM as LSTM
    from elman.cells._mclstm import MCLSTM as MCLSTM
    from elman.cells._mgu import MGU as MGU
    from elman.cells._mingru import MinGRU as MinGRU
    from elman.cells._minimalrnn import MinimalRNN as MinimalRNN
    from elman.cells._minlstm import MinLSTM as MinLSTM
    from elman.cells._miru1 import MiRU1 as MiRU1
    from elman.cells._miru2 import MiRU2 as MiRU2
    from elman.cells._multiplicativelstm import MultiplicativeLSTM as MultiplicativeLSTM
    from elman.cells._mut import MUT1 as MUT1
    from elman.cells._mut import MUT2 as MUT2
    from elman.cells._mut import MUT3 as MUT3
    from elman.cells._nas import NAS as NAS
    from elman.cells._nbr import NBR as NBR
    from elman.cells._originallstm import OriginalLSTM as OriginalLSTM
    from elman.cells._peepholelstm import PeepholeLSTM as PeepholeLSTM
    from elman.cells._projected import Projected as Projected
    from elman.cells._qrnn import QRNN as QRNN
    from elman.cells._ran import RAN as RAN
    from elman.cells._reslstm import ResLSTM as ResLSTM
    from elman.cells._rglru import RGLRU as RGLRU
    from elman.cells._rhn import RHN as RHN
    from elman.cells._scrn import SCRN as SCRN
    from elman.cells._sgrn import SGRN as SGRN
    from elman.cells._sgu import SGU as SGU
    from elman.cells._slstm import SLSTM as SLSTM
    from elman.cells._sru import SRU as SRU
    from elman.cells._star import STAR as STAR
    from elman.cells._taugru import TauGRU as TauGRU
    from elman.cells._typed import TGRU as TGRU
    from elman.cells._typed import TLSTM as TLSTM
    from elman.cells._typed import TRNN as TRNN
    from elman.cells._ugrnn import UGRNN as UGRNN
    from elman.cells._unicornn import UnICORNN as UnICORNN
    from elman.cells._wmclstm import WMCLSTM as WMCLSTM
    from elman.cells.references import provide as provide
    from elman.cells.references import resolve as resolve

_CELLS = {
    "_elman": "Elman",
    "_lstm": "LSTM",
    "_gru": "GRU",
    "_antisymmetric": "AntisymmetricRNN",
    "_gated_antisymmetric": "GatedAntisymmetricRNN",
    "_atr": "ATR",
    "_br": "BR",
    "_nbr": "NBR",
    "_cfn": "CFN",
    "_cornn": "CoRNN",
    "_sgu": "SGU",
    "_dsgu": "DSGU",
    "_fastrnn": "FastRNN",
    "_fastgrnn": "FastGRNN",
    "_intersection": "IntersectionRNN",
    "_janet": "JANET",
    "_lem": "LEM",
    "_chogru": "ChoGRU",
    "_cifg": "CIFG",
    "_layernormgru": "LayerNormGRU",
    "_layernormlstm": "LayerNormLSTM",
    "_miru1": "MiRU1",
    "_miru2": "MiRU2",
    "_multiplicativelstm": "MultiplicativeLSTM",
    "_mut": "MUT1 MUT2 MUT3",
    "_nas": "NAS",
    "_originallstm": "OriginalLSTM",
    "_peepholelstm": "PeepholeLSTM",
    "_ran": "RAN",
    "_reslstm": "ResLSTM",
    "_rhn": "RHN",
    "_scrn": "SCRN",
    "_sgrn": "SGRN",
    "_slstm": "SLSTM",
    "_star": "STAR",
    "_taugru": "TauGRU",
    "_typed": "TGRU TLSTM TRNN",
    "_ugrnn": "UGRNN",
    "_ligru": "LiGRU",
    "_lightru": "LightRU",
    "_mclstm": "MCLSTM",
    "_wmclstm": "WMCLSTM",
    "_mgu": "MGU",
    "_minimalrnn": "MinimalRNN",
    "_mingru": "MinGRU",
    "_minlstm": "MinLSTM",
    "_qrnn": "QRNN",
    "_sru": "SRU",
    "_rglru": "RGLRU",
    "_lru": "LRU",
    "_linoss": "LinOSS",
    "_indrnn": "IndRNN",
    "_unicornn": "UnICORNN",
}
"""Modules and the cells in them."""

CELLS: tuple[tuple[str, str], ...] = tuple(
    (name.lower(), f"{__name__}.{module}:{name}")
    for module, names in _CELLS.items()
    for name in names.split()
)
"""Names and where to find them, so that the command line lists choices without importing torch."""

_OTHERS = {
    "_base": "WEIGHT_NAMES Cell PointwiseCell Weights map_tensors named_tuple tensors_of watching",
    "_elementwise": "ElementwiseCell",
    "_linear": "LinearCell",
    "_projected": "Projected",
    "_clipped_state": "ClippedState",
    "_learned_state": "LearnedState",
    "_normalized_gates": "NormalizedGates",
    "_normalized_state": "NormalizedState",
    "_recurrent_dropout": "RecurrentDropout",
    "_residual": "Residual",
    "_weight_drop": "WeightDrop",
    "_wrapper": "Wrapper",
    "_zoneout": "Zoneout",
    "references": "provide resolve",
}
__getattr__, __dir__, __all__ = lazy(
    __name__, _CELLS | _OTHERS | {"_elman": "Activation Elman"}, own=("CELLS", "by_name")
)


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
