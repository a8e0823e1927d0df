"""Sections that tasks over tables share; torch is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, ValidationInfo, field_serializer, field_validator, model_validator

from elman._errors import ConfigError
from elman.cells import by_name
from elman.cells.options import Option, construct, options_of, parse_options
from elman.cells.references import FORMS, check, is_cell, is_own
from elman.data import CATALOG
from elman.tasks._section import Section

FEEDFORWARD = "feedforward"
"""In the place of a cell: a network without recurrence, that sees a fixed number of steps."""

CELL = f"recurrent cell: {FORMS}"
CELL_OR_NONE = f"{CELL}; or {FEEDFORWARD} for no recurrence"
OPTIONS = "options of the cell's constructor, see `elman cell show`"

Options: TypeAlias = dict[str, Option] | None


def check_activation(cell: str, activation: str | None) -> None:
    """A ValueError where an activation is set for a cell that takes none.

    The cell says so itself; it is imported, and torch with it, only where there is something to
    check.
    """
    if activation is None:
        return
    if not is_cell(cell) or "activation" not in options_of(by_name(cell)):
        raise ValueError(f"the cell {cell} has no activation to choose")


def check_options(cell: str | None, options: Options) -> Options:
    """The options of a cell in the types of its constructor; a ConfigError names the wrong ones.

    An activation is a setting of its own. ``cell`` is None where it is wrong itself.
    """
    if not options or cell is None:
        return options or None
    if not is_cell(cell):
        raise ConfigError(f"{cell} has no options")
    if "activation" in options:
        raise ConfigError("the activation is set by model.activation")
    return parse_options(by_name(cell), options, hidden=["activation"])


def check_constructor(cell: str, activation: str | None, options: Options) -> None:
    """A ConfigError with the line where a cell of the user's own cannot be built."""
    if is_own(cell):
        chosen = {} if activation is None else {"activation": activation}
        construct(by_name(cell), {**chosen, **(options or {})})


def spell_none(options: Options) -> dict[str, Any] | None:
    """Options as TOML can hold them, which has no None."""
    return options and {k: "none" if v is None else v for k, v in options.items()}


class FileData(Section):
    """Which files or which named data set is read, and what becomes of bad rows."""

    default: ClassVar[str]
    """The data set that is read where none is given."""

    train: list[Path] = Field([], description="training files or folders")
    name: str | None = Field(
        None,
        description="a named data set, see `elman data`; the default of the task if there are no "
        "files",
    )
    encoding: str = Field("utf-8", description="encoding of the files")
    columns: list[str] = Field([], description="column names of files without a header")
    on_bad_row: Literal["error", "skip"] = Field(
        "error", description="a row that cannot be used is an error, or is skipped and counted"
    )
    batch: int = Field(32, ge=1, description="batch size")

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """The task's own data set where none is given."""
        if not isinstance(values, Mapping):
            return values
        settings = {key: value for key, value in values.items() if value is not None}
        if not settings.get("train") and "name" not in settings:
            settings["name"] = cls.default
        made = any(dataset.made and dataset.name == settings.get("name") for dataset in CATALOG)
        if made and "unique" in cls.model_fields:
            settings = {"unique": False, **settings}  # made rows may be alike by chance
        return {**dict.fromkeys(values), **cls.implied(settings)}

    @classmethod
    def implied(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings with those that follow from what is given."""
        return settings

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.name is None) == (not self.train):
            raise ValueError("give either files to train on or the name of a data set")
        return self


class Division(Section):
    """How rows are divided; beside `FileData` in the section of a task."""

    valid: list[Path] = Field(
        [], description="validation files; split off the training rows if unset"
    )
    test: list[Path] = Field([], description="test files; split off the training rows if unset")
    rows: int | None = Field(None, ge=3, description="use only this many rows, drawn by data.seed")
    steps: int | None = Field(
        None, ge=1, description="sequence length of generated data sets; see `elman data`"
    )
    unique: bool = Field(
        True, description="leave out duplicate inputs; off for generated data sets"
    )
    valid_share: float = Field(
        0.1, ge=0, lt=1, description="share of the rows split off for validation"
    )
    test_share: float = Field(
        0.1, ge=0, lt=1, description="share of the rows split off for testing"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the split and of generated data")

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share must leave something to train on")
        return self


class TableData(Division, FileData):
    """Which rows are read, and how they are divided."""


class RecurrentNet(Section):
    """Recurrent layers, as every task has them."""

    cell: str = Field("lstm", description=CELL_OR_NONE)
    layers: int = Field(1, ge=1, description="number of recurrent layers")
    hidden: int = Field(96, ge=1, description="hidden units per layer and direction")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout on the input, between layers and on the output"
    )
    activation: str | None = Field(None, description="activation of the Elman cell; tanh if unset")
    options: Options = Field(None, description=OPTIONS)
    init: str | None = Field(None, description="initialization scheme of the cells, see elman.init")
    engine: str = Field("auto", description="engine that runs the recurrence")

    @field_validator("cell")
    @classmethod
    def _known_cell(cls, cell: str) -> str:
        check(cell, [FEEDFORWARD])
        return cell

    @field_validator("options")
    @classmethod
    def _known_options(cls, options: Options, info: ValidationInfo) -> Options:
        return check_options(info.data.get("cell"), options)

    @field_serializer("options", when_used="json")
    def _without_none(self, options: Options) -> dict[str, Any] | None:
        return spell_none(options)

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        check_activation(self.cell, self.activation)
        check_constructor(self.cell, self.activation, self.options)
        return self
