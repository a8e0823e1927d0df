"""Training: the loop, its configuration, and the run folder.

The names are loaded when they are first used: the configuration does not need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.training._config import Config, TrainConfig, Training, check_config, config_class
    from elman.training._entry import (
        config_of,
        evaluate,
        fit,
        load,
        reading_progress,
        resume,
        train,
    )
    from elman.training._loop import Report, Result
    from elman.training._memory import require_memory
    from elman.training._run import Run
    from elman.training._run_config import read_config
    from elman.training._schedules import Constant, Cosine, Schedule, StepDecay

__all__ = [
    "Config",
    "Constant",
    "Cosine",
    "Report",
    "Result",
    "Run",
    "Schedule",
    "StepDecay",
    "TrainConfig",
    "Training",
    "check_config",
    "config_class",
    "config_of",
    "evaluate",
    "fit",
    "load",
    "read_config",
    "reading_progress",
    "require_memory",
    "resume",
    "train",
]

_HOMES = {
    "_config": ("Config", "TrainConfig", "Training", "check_config", "config_class"),
    "_entry": ("config_of", "evaluate", "fit", "load", "reading_progress", "resume", "train"),
    "_loop": ("Report", "Result"),
    "_memory": ("require_memory",),
    "_run": ("Run",),
    "_run_config": ("read_config",),
    "_schedules": ("Constant", "Cosine", "Schedule", "StepDecay"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
