"""What is compared, and each candidate's settings; torch is not imported here."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple, Self, get_args

from pydantic import Field, model_validator

from elman._errors import ConfigError
from elman.tasks import Section
from elman.training import Config

ALIKE = {"train.seed", "train.epochs", "train.max_steps", "train.threads"}
"""Settings that one candidate cannot have for itself."""


class Change(NamedTuple):
    """A setting of one candidate: ``irnn:model.activation=relu``."""

    candidate: str
    key: str
    value: str

    @classmethod
    def of(cls, text: str) -> Change:
        candidate, colon, setting = text.partition(":")
        key, equals, value = setting.partition("=")
        if not (colon and equals):
            raise ValueError(f"expected NAME:KEY=VALUE, as irnn:model.activation=relu, got {text}")
        return cls(candidate, key, value)

    def make(self, config: Config, tree: dict[str, Any]) -> None:
        """Write it into the settings; "none" is None where the setting can be unset."""
        section, _, name = self.key.partition(".")
        field = type(getattr(config, section)).model_fields.get(name)
        unset = field is not None and type(None) in get_args(field.annotation)
        tree[section][name] = None if unset and self.value.lower() == "none" else self.value


class Design(Section):
    """Which cells, over how many seeds, and what they have in equal measure.

    A candidate is a cell, or NAME=CELL where one cell takes part twice.

    >>> design = Design(cells=["elman", "irnn=elman"], changes=["irnn:model.activation=relu"])
    >>> design.candidates()
    {'elman': 'elman', 'irnn': 'elman'}
    """

    cells: list[str] = Field(["elman", "lstm", "gru"], min_length=1)
    seeds: int = Field(3, ge=1)
    equal: Literal["parameters", "hidden"] = "parameters"
    jobs: int | None = Field(None, ge=1)
    changes: list[str] = Field([])

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [_named(word)[0] for word in self.cells]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"{', '.join(twice)} takes part twice: give one of them a name, as NAME=CELL"
            )
        for change in self._changes():
            if change.candidate not in names:
                raise ValueError(f"a change for {change.candidate}, which does not take part")
            if change.key in ALIKE or change.key.partition(".")[0] not in ("model", "train"):
                raise ValueError(f"{change.key} is the same for all, or they are no rivals")
        return self

    def candidates(self) -> dict[str, str]:
        """Name to cell."""
        return dict(map(_named, self.cells))

    def settings(self, config: Config) -> dict[str, Config]:
        """Each candidate's settings; their hidden sizes are still those of ``config``.

        Where the size of an embedding follows from the hidden size, it stays what it is there: a
        larger table of words would be no larger memory.

        Raises:
            ConfigError: the task has no cell to choose, or a candidate cannot have its settings.
        """
        model: Any = config.model
        if not {"cell", "hidden"} <= type(model).model_fields.keys():
            raise ConfigError(f"{config.task} has no cell and hidden size to compare")
        made = {}
        for name, cell in self.candidates().items():
            tree = config.toml()
            tree["model"]["cell"] = cell
            if _follows(model):
                tree["model"]["embedding"] = model.hidden
            for change in self._changes():
                if change.candidate == name:
                    change.make(config, tree)
            try:
                made[name] = type(config).parse(tree)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from None
        return made

    def fixed(self, name: str) -> bool:
        """Whether a candidate was given its own hidden size."""
        return any((c.candidate, c.key) == (name, "model.hidden") for c in self._changes())

    def _changes(self) -> list[Change]:
        return list(map(Change.of, self.changes))


class Share(NamedTuple):
    """How many processes train at once, and how many threads each has."""

    jobs: int
    threads: int

    @classmethod
    def of(cls, design: Design, config: Config) -> Share:
        """All processors, divided; on a device of another kind one run after the other."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        cores = cores or 1
        runs = design.seeds * len(design.cells)
        threads = config.train.threads
        jobs = design.jobs or (cores // (threads or 1) if config.train.device == "cpu" else 1)
        jobs = max(1, min(jobs, runs))
        return cls(jobs, threads or max(1, cores // jobs))


def _named(word: str) -> tuple[str, str]:
    name, _, cell = word.strip().rpartition("=")
    return name or cell, cell


def _follows(model: Any) -> bool:
    """Whether the embedding is as large as the hidden state because nothing else was said."""
    unset = getattr(model, "embedding", 0) is None
    return unset and not getattr(model, "tied", False) and not getattr(model, "vectors", None)
