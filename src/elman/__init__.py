"""Recurrent networks that you can change and see inside.

The public names are loaded when they are first used: ``import elman`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman import (
        baselines,
        bptt,
        cells,
        clip,
        comparison,
        data,
        decode,
        diagnosis,
        engine,
        init,
        inspection,
        layers,
        metrics,
        nn,
        pictures,
        reporting,
        scan,
        tasks,
        training,
    )
    from elman._errors import (
        CheckpointError,
        ConfigError,
        DataError,
        Diverged,
        DtypeError,
        ElmanError,
        EngineError,
        Interrupted,
        ShapeError,
    )
    from elman.comparison import compare
    from elman.diagnosis import diagnose
    from elman.engine import explain, use_engine
    from elman.layers import (
        GRU,
        LSTM,
        RNN,
        Bidirectional,
        Dropout,
        GRUCell,
        LSTMCell,
        Recurrent,
        Residual,
        RNNCell,
        Stack,
        convert,
        from_keras,
        to_torch,
    )
    from elman.reporting import report
    from elman.stream import Stream
    from elman.training import load, train

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Diverged",
    "Dropout",
    "DtypeError",
    "ElmanError",
    "EngineError",
    "GRUCell",
    "Interrupted",
    "LSTMCell",
    "RNNCell",
    "Recurrent",
    "Residual",
    "ShapeError",
    "Stack",
    "Stream",
    "baselines",
    "bptt",
    "cells",
    "clip",
    "compare",
    "comparison",
    "convert",
    "data",
    "decode",
    "diagnose",
    "diagnosis",
    "engine",
    "explain",
    "from_keras",
    "init",
    "inspection",
    "layers",
    "load",
    "metrics",
    "nn",
    "pictures",
    "report",
    "reporting",
    "scan",
    "tasks",
    "to_torch",
    "train",
    "training",
    "use_engine",
]


# Verbs are functions and packages are nouns: importing a module sets the name of the same spelling.
_HOMES = {
    "Stream": "stream",
    "compare": "comparison",
    "diagnose": "diagnosis",
    "explain": "engine",
    "load": "training",
    "report": "reporting",
    "train": "training",
    "use_engine": "engine",
}


def _home(name: str) -> str | None:
    """The module that holds a public name; None where the name is a module itself."""
    if name.endswith("Error") or name in {"Diverged", "Interrupted"}:
        return "_errors"
    in_layers = name[0].isupper() or name in {"convert", "from_keras", "to_torch"}
    return _HOMES.get(name, "layers" if in_layers else None)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    home = _home(name)
    return getattr(import_module(f"elman.{home}"), name) if home else import_module(f"elman.{name}")


def __dir__() -> list[str]:
    return sorted(["__version__", *__all__])
