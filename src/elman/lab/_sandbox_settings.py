"""Settings of the sandbox, and the configuration and command of the run that they amount to."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from elman._errors import ConfigError

if TYPE_CHECKING:
    from elman.training import Config

FEEDFORWARD = "feedforward"
"""In the place of a cell: a network without recurrence."""
Activation = Literal["tanh", "relu", "identity", "sigmoid", "gelu"]
Init = Literal["torch", "orthogonal", "identity", "glorot", "forget_bias", "chrono"]


class RecurrenceSettings(BaseModel):
    """What probe and training have in common."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cell: str = Field("elman", max_length=300, description="name of a cell, or the lab's own")
    activation: Activation | None = Field(
        None, description="of a cell that lets one choose it; tanh if unset"
    )
    init: Init = Field("torch", description="initialization scheme, see elman.init")
    radius: float = Field(
        1.0, gt=0, le=4, description="factor of W_hh at the start: its radius, if orthogonal"
    )
    forget_bias: float | None = Field(
        None, ge=-10, le=10, description="bias of the gate that keeps the state; as init if unset"
    )
    hidden: int = Field(32, ge=1, le=256, description="hidden units")
    seed: int = Field(0, ge=0, lt=2**31, description="random seed")


class ProbeSettings(RecurrenceSettings):
    """A recurrence over noise."""

    init: Init = Field("orthogonal", description="initialization scheme, see elman.init")
    steps: int = Field(50, ge=2, le=256, description="time steps")


class DataChoice(NamedTuple):
    """Where a choice of data comes from: the task, and the name of the data set."""

    task: str
    name: str


SOURCES = {
    "adding": DataChoice("regress", "adding"),
    "parity": DataChoice("classify", "parity"),
    "recall": DataChoice("classify", "recall"),
    "echo": DataChoice("tag", "delayed-echo"),
    "copy": DataChoice("tag", "copy-memory"),
    "digits": DataChoice("classify", "digits"),
}
"""Data that need no file. ``recall`` is "I grew up in France"."""
FILES = {"numbers": "regress", "labels": "classify", "text": "language"}
"""The task for the user's own file: a table with a number or a label, or a text."""
Data = Literal["adding", "parity", "recall", "echo", "copy", "digits", "numbers", "labels", "text"]


class TrainSettings(RecurrenceSettings):
    """A training run, which goes into runs/lab-N as one of `elman train` does."""

    data: Data = "adding"
    file: str = Field("", max_length=1000, description="numbers, labels, text: path of the file")
    layers: int = Field(1, ge=1, le=4, description="recurrent layers")
    steps: int = Field(30, ge=1, le=400, description="length of generated sequences")
    rows: int = Field(6000, ge=30, le=20_000, description="rows of generated data")
    batch: int = Field(32, ge=1, le=128, description="batch size")
    updates: int = Field(900, ge=1, le=20_000, description="updates")
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(0.01, gt=0, le=1000, description="learning rate")
    clip: Literal["norm", "value", "adaptive", "none"] = "norm"
    clip_limit: float = Field(1.0, gt=0, le=1e6, description="clipping threshold")
    k1: int = Field(32, ge=1, le=400, description="text: steps between backward passes")
    k2: int | None = Field(
        None, ge=1, le=400, description="text: steps that the gradient flows back; k1 if unset"
    )
    baselines: bool = Field(
        False, description="score the baselines at the end, which takes a while"
    )


class StepSettings(TrainSettings):
    """A few updates of a training run: the first ones, or the next ones of a paused run."""

    run: str = Field("", max_length=300, description="run to continue; a new one if empty")
    by: int = Field(1, ge=1, le=1000, description="updates")


KEYS = {
    "model.cell": "cell",
    "model.activation": "activation",
    "model.init": "init",
    "model.hidden": "hidden",
    "model.layers": "layers",
    "data.train": "file",
    "data.name": "data",
    "data.steps": "steps",
    "data.rows": "rows",
    "data.batch": "batch",
    "train.max_steps": "updates",
    "train.optimizer": "optimizer",
    "train.lr": "lr",
    "train.clip": "clip",
    "train.clip_limit": "clip_limit",
    "train.k1": "k1",
    "train.k2": "k2",
    "train.seed": "seed",
    "model": "cell",
}
"""Keys of a run's configuration, and the settings that they come from."""


def config_tree(settings: TrainSettings, cell: str) -> dict[str, dict[str, Any]]:
    """The configuration of the run, section by section, without what is unset."""
    task, data = _data(settings)
    model: dict[str, Any] = {"cell": cell, "hidden": settings.hidden, "layers": settings.layers}
    if settings.activation is not None:
        model["activation"] = settings.activation
    if settings.init != "torch":
        model["init"] = settings.init
    plain = {"bidirectional": False, "dropout": 0.0}
    if task == "classify":
        model |= {**plain, "pool": "last"}
    if task == "tag":
        model |= {**plain, "characters": 0}
    updates = settings.updates
    train: dict[str, Any] = {
        "max_steps": updates,
        "optimizer": settings.optimizer,
        "lr": settings.lr,
        "schedule": "constant",
        "clip": settings.clip,
        "clip_limit": settings.clip_limit,
        "seed": settings.seed,
        "log_every": max(1, updates // 40),
        "validate_every": max(1, updates // 10),
        "watch": True,
        "watch_every": max(1, updates // 16),
        "baselines": settings.baselines,
    }
    if task == "language":
        train["k1"] = settings.k1
        if settings.k2 is not None:
            train["k2"] = settings.k2
    return {"data": data, "model": model, "train": train}


def _data(settings: TrainSettings) -> tuple[str, dict[str, Any]]:
    """The task and the section of its data.

    Raises:
        ConfigError: a file is missing.
    """
    if settings.data in SOURCES:
        task, name = SOURCES[settings.data]
        data: dict[str, Any] = {"name": name, "batch": settings.batch, "seed": settings.seed}
        if settings.data != "digits":
            data |= {"steps": settings.steps, "rows": settings.rows}
        return task, data
    if not settings.file:
        raise ConfigError(f"file: expected the path of a file for data = {settings.data}, got none")
    task = FILES[settings.data]
    batch = "lanes" if task == "language" else "batch"
    return task, {"train": [settings.file], batch: settings.batch}


def config_of(settings: TrainSettings, tree: dict[str, dict[str, Any]]) -> Config:
    """The configuration.

    Raises:
        ConfigError: each line begins with the setting that is wrong.
    """
    from elman.training import config_class

    task, _ = _data(settings)
    try:
        return config_class(task).parse(tree)
    except ConfigError as error:
        lines, fields = [], TrainSettings.model_fields
        for line in str(error).splitlines():
            key, _, message = line.partition(": ")
            name = KEYS.get(key) or next((w for w in message.split() if w in fields), None)
            lines.append(f"{name}: {message}" if name else line)
        raise ConfigError("\n".join(lines)) from error


def command(settings: TrainSettings, tree: dict[str, dict[str, Any]]) -> str | None:
    """The command that trains the same, where one does: it cannot change first weights."""
    if settings.radius != 1 or settings.forget_bias is not None:
        return None
    task, _ = _data(settings)
    words = ["elman", "train", task]
    for section, values in tree.items():
        for key, value in values.items():
            match value:
                case bool():
                    words.append(f"--{section}.{'' if value else 'no-'}{key}")
                case list():
                    words += [*value]
                case _:
                    words += [f"--{section}.{key}", str(value)]
    return shlex.join(words)
