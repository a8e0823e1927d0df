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
        compare,
        data,
        decode,
        diagnose,
        doctor,
        engine,
        init,
        layers,
        metrics,
        nn,
        pictures,
        report,
        scan,
        tasks,
        train,
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
        to_torch,
    )
    from elman.stream import Stream
    from elman.train import load

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
    "convert",
    "data",
    "decode",
    "diagnose",
    "doctor",
    "engine",
    "explain",
    "init",
    "layers",
    "load",
    "metrics",
    "nn",
    "pictures",
    "report",
    "scan",
    "tasks",
    "to_torch",
    "train",
    "use_engine",
]


def _home(name: str) -> str | None:
    """The module that holds a public name; None where the name is a module itself."""
    homes = {"Stream": "stream", "explain": "engine", "load": "train", "use_engine": "engine"}
    if name.endswith("Error") or name in {"Diverged", "Interrupted"}:
        return "_errors"
    in_layers = name[0].isupper() or name in {"convert", "to_torch"}
    return homes.get(name, "layers" if in_layers else None)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    home = _home(name)
    return getattr(import_module(f"elman.{home}"), name) if home else import_module(f"elman.{name}")


def __dir__() -> list[str]:
    return sorted(["__version__", *__all__])
