"""The design of a comparison, and each candidate's settings; torch is not imported here."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple, Self, get_args

from pydantic import Field, model_validator

from elman._errors import ConfigError
from elman.tasks import Section
from elman.training import Config

ALIKE = {"train.seed", "train.epochs", "train.max_steps", "train.threads"}
"""Settings that must be the same for all candidates."""


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
            raise ValueError(
                f"expected NAME:KEY=VALUE, such as irnn:model.activation=relu, got {text}"
            )
        return cls(candidate, key, value)

    def make(self, config: Config, tree: dict[str, Any]) -> None:
        """Apply the change; "none" is None if the setting is optional."""
        section, _, name = self.key.partition(".")
        field = type(getattr(config, section)).model_fields.get(name)
        unset = field is not None and type(None) in get_args(field.annotation)
        value = None if unset and self.value.lower() == "none" else self.value
        options, dot, option = name.partition(".")
        if dot:  # an option of a cell, model.options.slope
            tree[section][options] = {**(tree[section].get(options) or {}), option: value}
        else:
            tree[section][name] = value


class Design(Section):
    """The cells, the number of seeds, and what all candidates have in common.

    A candidate is a cell, or NAME=CELL to use one cell twice. The name of a cell of your own,
    FILE.py:Class, is that of its class.

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
                f"candidates must have different names, got {', '.join(twice)} twice: "
                "name one of them, as NAME=CELL"
            )
        for change in self._changes():
            if change.candidate not in names:
                raise ValueError(
                    f"expected a change for one of {', '.join(names)}, got {change.candidate}"
                )
            if change.key in ALIKE or change.key.partition(".")[0] not in ("model", "train"):
                raise ValueError(
                    f"{change.key} must be the same for all candidates to keep the comparison fair"
                )
        return self

    def references(self) -> list[str]:
        """Every cell that the design names."""
        changed = [change.value for change in self._changes() if change.key == "model.cell"]
        return [*self.candidates().values(), *changed]

    def candidates(self) -> dict[str, str]:
        """Cells by candidate."""
        return dict(map(_named, self.cells))

    def settings(self, config: Config) -> dict[str, Config]:
        """Each candidate's settings, still with the hidden size of ``config``.

        An embedding whose size follows from the hidden size keeps its size: a larger table of words
        does not add memory.

        Raises:
            ConfigError: the task has no cell to choose, or a candidate's settings are not valid.
        """
        model: Any = config.model
        if not {"cell", "hidden"} <= type(model).model_fields.keys():
            raise ConfigError(f"{config.task} has no cell and hidden size to compare")
        made = {}
        for name, cell in self.candidates().items():
            tree = config.toml()
            if cell != model.cell:  # options belong to a cell
                tree["model"].pop("options", None)
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
        """Whether a candidate has a hidden size of its own."""
        return any((c.candidate, c.key) == (name, "model.hidden") for c in self._changes())

    def _changes(self) -> list[Change]:
        return list(map(Change.of, self.changes))


class Share(NamedTuple):
    """The number of parallel processes, and of threads in each."""

    jobs: int
    threads: int

    @classmethod
    def of(cls, design: Design, config: Config) -> Share:
        """All processors divided among the runs; on other devices one run at a time."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        cores = cores or 1
        runs = design.seeds * len(design.cells)
        threads = config.train.threads
        jobs = design.jobs or (cores // (threads or 1) if config.train.device == "cpu" else 1)
        jobs = max(1, min(jobs, runs))
        return cls(jobs, threads or max(1, cores // jobs))


def _named(word: str) -> tuple[str, str]:
    """The name of a candidate, and its cell.

    >>> _named("gru"), _named("irnn=elman"), _named("cells/leaky.py:Leaky")
    (('gru', 'gru'), ('irnn', 'elman'), ('Leaky', 'cells/leaky.py:Leaky'))
    """
    name, _, cell = word.strip().rpartition("=")
    return name or cell.rpartition(":")[2], cell


def _follows(model: Any) -> bool:
    """Whether the embedding has the hidden size by default."""
    unset = getattr(model, "embedding", 0) is None
    return unset and not getattr(model, "tied", False) and not getattr(model, "vectors", None)
