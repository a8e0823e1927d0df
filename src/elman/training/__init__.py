"""Training: the loop, its configuration, and the run folder.

The names are loaded when they are first used: the configuration does not need torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.training._config import (
        Config as Config,
        TrainConfig as TrainConfig,
        Training as Training,
        check_config as check_config,
        config_class as config_class,
    )
    from elman.training._entry import (
        config_of as config_of,
        evaluate as evaluate,
        fit as fit,
        load as load,
        reading_progress as reading_progress,
        resume as resume,
        train as train,
    )
    from elman.training._loop import Report as Report, Result as Result
    from elman.training._memory import require_memory as require_memory
    from elman.training._run import Run as Run
    from elman.training._run_config import read_config as read_config
    from elman.training._schedules import (
        Constant as Constant,
        Cosine as Cosine,
        Schedule as Schedule,
        StepDecay as StepDecay,
    )

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_config": "Config TrainConfig Training check_config config_class",
        "_entry": "config_of evaluate fit load reading_progress resume train",
        "_loop": "Report Result",
        "_memory": "require_memory",
        "_run": "Run",
        "_run_config": "read_config",
        "_schedules": "Constant Cosine Schedule StepDecay",
    },
)
