"""Recurrent networks that you can change and see inside.

The public names are loaded when they are first used: ``import elman`` does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman import (
        baselines as baselines,
        bptt as bptt,
        cells as cells,
        clip as clip,
        comparison as comparison,
        data as data,
        decode as decode,
        diagnosis as diagnosis,
        engine as engine,
        exporting as exporting,
        init as init,
        inspection as inspection,
        layers as layers,
        metrics as metrics,
        nn as nn,
        pictures as pictures,
        reporting as reporting,
        scan as scan,
        tasks as tasks,
        training as training,
    )
    from elman._errors import (
        CheckpointError as CheckpointError,
        ConfigError as ConfigError,
        DataError as DataError,
        Diverged as Diverged,
        DtypeError as DtypeError,
        ElmanError as ElmanError,
        EngineError as EngineError,
        Interrupted as Interrupted,
        ShapeError as ShapeError,
    )
    from elman.comparison import compare as compare
    from elman.diagnosis import diagnose as diagnose
    from elman.engine import explain as explain, use_engine as use_engine
    from elman.exporting import export as export
    from elman.layers import (
        GRU as GRU,
        LSTM as LSTM,
        RNN as RNN,
        Bidirectional as Bidirectional,
        Dropout as Dropout,
        GRUCell as GRUCell,
        LSTMCell as LSTMCell,
        Recurrent as Recurrent,
        Residual as Residual,
        RNNCell as RNNCell,
        Stack as Stack,
        convert as convert,
        from_keras as from_keras,
        to_torch as to_torch,
    )
    from elman.reporting import report as report
    from elman.stream import Stream as Stream
    from elman.training import load as load, train as train

__version__ = "0.1.0"

# Verbs are functions and packages are nouns: importing a module sets the name of the same spelling.
__getattr__, _, __all__ = lazy(
    __name__,
    {
        "": (
            "baselines bptt cells clip comparison data decode diagnosis engine exporting init "
            "inspection layers metrics nn pictures reporting scan tasks training"
        ),
        "_errors": (
            "CheckpointError ConfigError DataError Diverged DtypeError ElmanError EngineError "
            "Interrupted ShapeError"
        ),
        "comparison": "compare",
        "diagnosis": "diagnose",
        "engine": "explain use_engine",
        "exporting": "export",
        "layers": (
            "GRU LSTM RNN Bidirectional Dropout GRUCell LSTMCell Recurrent Residual RNNCell Stack "
            "convert from_keras to_torch"
        ),
        "reporting": "report",
        "stream": "Stream",
        "training": "load train",
    },
)


def __dir__() -> list[str]:
    return ["__version__", *__all__]
