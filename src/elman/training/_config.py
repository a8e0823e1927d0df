"""The configuration of a training run, and of a task with its run; torch is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, create_model, model_validator

from elman._errors import DtypeError, kind_of
from elman.tasks import sections
from elman.tasks._section import Section

FORMAT = 2
"""The version of the run folder's format, see `elman.training.Run`."""

BUDGETS = {"epochs", "max_steps"}

Decay = Annotated[float, Field(ge=0, lt=1)]


class Training(Section):
    """How to train whole sequences: the section ``[train]`` where nothing is cut in time.

    >>> Training.parse({"lr": -1, "epoch": 3})
    Traceback (most recent call last):
    elman._errors.ConfigError: lr: input should be greater than 0, got -1
    epoch: unknown key; did you mean 'epochs'? ...
    """

    seed: int = Field(0, ge=0, lt=2**63, description="seed of weights, dropout and data order")
    device: str = Field("cpu", description="where to train: cpu, cuda, cuda:1 ...")
    threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads; torch's own choice if unset"
    )

    epochs: int | None = Field(None, ge=1, description="stop after so many passes over the data")
    max_steps: int | None = Field(None, ge=1, description="stop after so many updates")
    patience: int | None = Field(
        None, ge=1, description="stop after so many validations without a better one"
    )

    loss: Literal["mean", "sum"] = Field(
        "mean", description="mean over tokens, or sum over a window's steps and mean over rows"
    )
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adam", description="the update rule")
    lr: float = Field(1e-3, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="sgd: momentum")
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="adam: decay of the two averages")
    weight_decay: float = Field(0.0, ge=0, description="pull of the weights toward 0")
    accumulate: int = Field(1, ge=1, description="windows whose gradients make one update")

    schedule: Literal["constant", "step", "cosine"] = Field(
        "constant", description="how the learning rate changes"
    )
    decay_after: int = Field(4, ge=0, description="step: epochs at the full rate")
    decay: float = Field(0.5, gt=0, le=1, description="step: factor of each later epoch")
    warmup: int = Field(0, ge=0, description="cosine: updates until the full rate")
    final: float = Field(0.0, ge=0, le=1, description="cosine: factor of the rate at the end")

    clip: Literal["none", "norm", "value", "adaptive"] = Field(
        "norm", description="bound the gradients: all together, each element, or each unit"
    )
    clip_limit: float = Field(
        1.0, gt=0, description="largest norm or value; adaptive: factor of the weights' norm"
    )

    validate_every: int | None = Field(
        None, ge=1, description="updates between validations, besides one after each epoch"
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="updates between checkpoints, besides one after each validation"
    )
    log_every: int = Field(100, ge=1, description="updates between two lines of progress")
    watch: bool = Field(
        False, description="look at gradients, updates and gates, and write it to metrics.jsonl"
    )
    watch_every: int = Field(200, ge=1, description="updates between two looks of the watch")
    baselines: bool = Field(
        True, description="at the end, measure what a network has to beat on the same data"
    )
    tensorboard: bool = Field(False, description="write events for TensorBoard into the run folder")

    @model_validator(mode="before")
    @classmethod
    def _one_budget(cls, values: Any) -> Any:
        """A budget that is given replaces the default one, whichever its kind."""
        if not isinstance(values, Mapping) or not BUDGETS & values.keys():
            return values
        return {**dict.fromkeys(BUDGETS), **values}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("set epochs or max_steps: a run needs a budget")
        return self


class TrainConfig(Training):
    """How to train on windows of time, too: the section ``[train]`` of a language model.

    >>> TrainConfig.parse({"epochs": 1, "k1": 20, "k2": 10})
    Traceback (most recent call last):
    elman._errors.ConfigError: k2 must be at least k1: k1=20, k2=10
    """

    bptt: Literal["truncated", "full", "checkpointed"] = Field(
        "truncated", description="how far back the gradient flows"
    )
    k1: int = Field(32, ge=1, description="truncated: steps between two backward passes")
    k2: int | None = Field(
        None, ge=1, description="truncated: steps the gradient flows back; k1 if unset"
    )
    every: int = Field(32, ge=1, description="checkpointed: steps between two saved states")

    @model_validator(mode="after")
    def _reaches_back(self) -> Self:
        if self.k2 is not None and self.k2 < self.k1:
            raise ValueError(f"k2 must be at least k1: k1={self.k1}, k2={self.k2}")
        return self


class Config(Section):
    """The configuration of a task and its training: what a run's config.toml holds.

    `config_class` makes the class of a task, whose sections have the task's keys and defaults.
    """

    task: ClassVar[str]

    data: Section = Field(description="what is read")
    model: Section = Field(description="what is trained")
    train: Training = Field(description="how it is trained")

    @model_validator(mode="after")
    def _full_of_what(self) -> Self:
        # A lane of a text has no end that memory reaches: the whole of it only if that is said.
        bptt = getattr(self.train, "bptt", None)
        if bptt == "full" and getattr(self.data, "length", 0) is None:
            raise ValueError(
                "train.bptt = full goes back over a whole lane: set data.length to the steps "
                "it may take, or take truncated"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _of_this_task(cls, values: Any) -> Any:
        """Accept a run's config.toml, which also says its task and format."""
        if not isinstance(values, Mapping):
            return values
        for key, expected in {"task": cls.task, "format": FORMAT}.items():
            if values.get(key, expected) != expected:
                raise ValueError(f"{key} must be {expected!r}, got {values[key]!r}")
        return {key: value for key, value in values.items() if key not in ("task", "format")}

    def toml(self) -> dict[str, Any]:
        """Everything resolved, in types that TOML has; what is not set is left out."""
        return {
            "task": self.task,
            "format": FORMAT,
            **self.model_dump(mode="json", exclude_none=True),
        }


def check_config(config: object) -> None:
    """A clear error where something else stands for a configuration: a table, or a dictionary."""
    if not isinstance(config, Config):
        raise DtypeError(
            "expected a configuration, as elman.training.config_class('classify').parse({...}) "
            f"makes it, got {kind_of(config)}"
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
    """The same of a task of one's own, which has no settings but those of its training.

    >>> own_config_class("tones", windows=False).parse({"train": {"epochs": 2}}).train.epochs
    2
    """
    none = (Section, Field(default_factory=Section, description="none"))
    train: Any = (TrainConfig if windows else Training, Field(description="how it is trained"))
    made = create_model("OwnConfig", __base__=Config, data=none, model=none, train=train)
    made.task = task
    return made


def _defaults(base: type[Training], values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the base with other defaults."""
    changed = {name: copy(base.model_fields[name]) for name in values}
    for name, field in changed.items():
        field.default = values[name]
    return {name: (field.annotation, field) for name, field in changed.items()}
