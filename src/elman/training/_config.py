"""The configuration of a training run, and of a task with its run; torch is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, create_model, model_validator

from elman._errors import DtypeError, kind_of
from elman.tasks import Section, sections

FORMAT = 3
"""The version of the run folder's format, see `elman.training.Run`."""

BUDGETS = {"epochs", "max_steps"}

Decay = Annotated[float, Field(ge=0, lt=1)]


class Training(Section):
    """The section ``[train]`` of a task that trains on whole sequences.

    >>> Training.parse({"lr": -1, "epoch": 3})
    Traceback (most recent call last):
    elman._errors.ConfigError: lr: input should be greater than 0, got -1
    epoch: unknown key; did you mean 'epochs'? ...
    """

    seed: int = Field(
        0, ge=0, lt=2**63, description="random seed of weights, dropout and data order"
    )
    device: str = Field("cpu", description="device to train on: cpu, cuda, cuda:1 ...")
    threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads (default: chosen by torch)"
    )

    epochs: int | None = Field(None, ge=1, description="number of passes over the data")
    max_steps: int | None = Field(None, ge=1, description="number of updates")
    patience: int | None = Field(
        None,
        ge=1,
        description="early stopping: validations without improvement before training stops",
    )

    loss: Literal["mean", "sum"] = Field(
        "mean", description="mean over tokens, or sum over the steps of a window and mean over rows"
    )
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adam", description="optimizer")
    lr: float = Field(1e-3, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="sgd: momentum")
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999), description="adam: decay rates of the moment estimates"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay")
    accumulate: int = Field(1, ge=1, description="gradient accumulation: windows per update")

    schedule: Literal["constant", "step", "cosine"] = Field(
        "constant", description="learning rate schedule"
    )
    decay_after: int = Field(4, ge=0, description="step: epochs at the full learning rate")
    decay: float = Field(0.5, gt=0, le=1, description="step: factor for each later epoch")
    warmup: int = Field(0, ge=0, description="cosine: warm-up updates")
    final: float = Field(0.0, ge=0, le=1, description="cosine: final learning rate, relative to lr")

    clip: Literal["none", "norm", "value", "adaptive"] = Field(
        "norm", description="gradient clipping: by global norm, by value, or adaptive by unit"
    )
    clip_limit: float = Field(
        1.0, gt=0, description="clipping threshold; adaptive: relative to the norm of the weights"
    )

    validate_every: int | None = Field(
        None, ge=1, description="updates between validations, in addition to one per epoch"
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="updates between checkpoints, in addition to one per validation"
    )
    log_every: int = Field(100, ge=1, description="updates between log entries")
    watch: bool = Field(False, description="record gradients, updates and gates in metrics.jsonl")
    watch_every: int = Field(200, ge=1, description="updates between recordings of --watch")
    baselines: bool = Field(True, description="train and score the baselines at the end")
    tensorboard: bool = Field(False, description="write TensorBoard events into the run folder")

    @model_validator(mode="before")
    @classmethod
    def _one_budget(cls, values: Any) -> Any:
        """Any budget replaces the default one."""
        if not isinstance(values, Mapping) or not BUDGETS & values.keys():
            return values
        return {**dict.fromkeys(BUDGETS), **values}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("a run needs a budget: set epochs or max_steps")
        return self


class TrainConfig(Training):
    """The section ``[train]`` of a task that trains on windows of time, such as a language model.

    >>> TrainConfig.parse({"epochs": 1, "k1": 20, "k2": 10})
    Traceback (most recent call last):
    elman._errors.ConfigError: k2 must be at least k1 = 20, got 10
    """

    bptt: Literal["truncated", "full", "checkpointed"] = Field(
        "truncated", description="gradient policy: how far back the gradient flows"
    )
    k1: int = Field(32, ge=1, description="truncated: steps between backward passes")
    k2: int | None = Field(
        None, ge=1, description="truncated: steps that the gradient flows back (default: k1)"
    )
    every: int = Field(32, ge=1, description="checkpointed: steps between saved states")

    @model_validator(mode="after")
    def _reaches_back(self) -> Self:
        if self.k2 is not None and self.k2 < self.k1:
            raise ValueError(f"k2 must be at least k1 = {self.k1}, got {self.k2}")
        return self


class Config(Section):
    """The configuration of a task and its training, as stored in config.toml.

    `config_class` returns the class of a task, whose sections have the task's keys and defaults.
    """

    task: ClassVar[str]

    data: Section = Field(description="the data")
    model: Section = Field(description="the network")
    train: Training = Field(description="the training")

    @model_validator(mode="after")
    def _full_of_what(self) -> Self:
        # A stream of text is too long for full backpropagation, unless its length is limited.
        bptt = getattr(self.train, "bptt", None)
        if bptt == "full" and getattr(self.data, "length", 0) is None:
            raise ValueError(
                "train.bptt = full backpropagates through a whole stream of text: limit it with "
                "data.length, or use truncated"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _of_this_task(cls, values: Any) -> Any:
        """Accept a config.toml, which also has a task and a format."""
        if not isinstance(values, Mapping):
            return values
        for key, expected in {"task": cls.task, "format": FORMAT}.items():
            if values.get(key, expected) != expected:
                raise ValueError(f"{key} must be {expected!r}, got {values[key]!r}")
        return {key: value for key, value in values.items() if key not in ("task", "format")}

    def toml(self) -> dict[str, Any]:
        """The resolved configuration in TOML types, without keys that are not set."""
        return {
            "task": self.task,
            "format": FORMAT,
            **self.model_dump(mode="json", exclude_none=True),
        }


def check_config(config: object) -> None:
    """Raise a clear error if ``config`` is not a configuration, but a dictionary, say."""
    if not isinstance(config, Config):
        raise DtypeError(
            "expected a configuration, such as "
            f"elman.training.config_class('classify').parse({{...}}), got {kind_of(config)}"
        )


@cache
def config_class(task: str) -> type[Config]:
    """The configuration class of a task; torch is not imported.

    Args:
        task: a name from `elman.tasks.TASKS`.

    Raises:
        ConfigError: there is no such task.

    Example:
        >>> config = config_class("language").parse({"model": {"hidden": 64}})
        >>> config.model.hidden, config.train.optimizer
        (64, 'adam')
    """
    parts = sections(task)
    base = TrainConfig if parts.windows else Training
    train = create_model(f"{task.title()}Train", __base__=base, **_defaults(base, parts.train))
    fields: dict[str, Any] = {
        name: (part, Field(default_factory=part, description=Config.model_fields[name].description))
        for name, part in (("data", parts.data), ("model", parts.model), ("train", train))
    }
    made = create_model(f"{task.title()}Config", __base__=Config, **fields)
    made.task = task
    return made


def own_config_class(task: str, *, windows: bool) -> type[Config]:
    """The configuration class of a custom task, which has only training settings.

    >>> own_config_class("tones", windows=False).parse({"train": {"epochs": 2}}).train.epochs
    2
    """
    none = (Section, Field(default_factory=Section, description="none"))
    train: Any = (TrainConfig if windows else Training, Field(description="the training"))
    made = create_model("OwnConfig", __base__=Config, data=none, model=none, train=train)
    made.task = task
    return made


def _defaults(base: type[Training], values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a base class with other defaults."""
    changed = {name: copy(base.model_fields[name]) for name in values}
    for name, field in changed.items():
        field.default = values[name]
    return {name: (field.annotation, field) for name, field in changed.items()}
