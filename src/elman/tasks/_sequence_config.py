"""Sections of tasks that read one sequence, text or numbers; torch is not imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from elman.data import CATALOG
from elman.tasks._table_config import FEEDFORWARD, RecurrentNet, TableData

LONG = 1_000_000
"""Steps of numbers that the network reads unless told."""


class SequenceData(TableData):
    """Which column the sequence is in, and how it becomes numbers."""

    text: str | None = Field("text", description="column of the text; tokens in a list do, too")
    series: str | None = Field(
        None,
        description="in the place of text: a column of numbers, one a step, or a pattern such as "
        "x* for a column a step",
    )
    standardize: bool | None = Field(
        None, description="series: mean 0 and deviation 1 in training; if unset, that of files"
    )
    level: Literal["word", "char", "bpe", "unigram"] = Field("word", description="what a token is")
    vocabulary: int | None = Field(20_000, ge=2, description="most entries of the vocabulary")
    min_count: int = Field(1, ge=1, description="what is rarer becomes <unk>")
    lowercase: bool | None = Field(
        None, description="read all text as lower case; if unset, where tokens are words"
    )
    punctuation: bool | None = Field(
        None, description="make marks tokens of their own; if unset, where they are words"
    )
    max_length: int = Field(
        400, ge=1, description="the network reads so many steps; how many rows have more is said"
    )
    keep: Literal["head", "tail"] = Field("head", description="which end of a longer row it reads")

    @classmethod
    def implied(cls, given: dict[str, Any]) -> dict[str, Any]:
        words = given.get("level", "word") == "word"
        given = {"lowercase": words, "punctuation": words, **given}
        if any(set_.name == given.get("name") and "series" in set_.columns for set_ in CATALOG):
            given = {"series": "series", **given}
        if given.get("series"):
            whole = {"max_length": LONG, "standardize": "name" not in given}
            given = {**whole, **given, "text": None}
        return given

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if not self.text and not self.series:
            raise ValueError("name the column of the sequence: text, or series")
        return self


class SequenceNet(RecurrentNet):
    """From a sequence to one vector."""

    embedding: int | None = Field(None, ge=1, description="size of the embedding; hidden if unset")
    vectors: Path | None = Field(
        None,
        description="pre-trained vectors (.vec, .txt); words without one are drawn alike",
    )
    freeze: bool = Field(False, description="leave the embedding as it begins")
    pool: Literal["last", "mean", "max", "mean+max", "attention"] = Field(
        "mean+max", description="how the states of all steps become one vector"
    )
    steps: int | None = Field(
        None, ge=1, description="feedforward: steps that it sees; data.max_length if unset"
    )

    @model_validator(mode="after")
    def _steps_are_for_feedforward(self) -> Self:
        if self.steps is not None and self.cell != FEEDFORWARD:
            raise ValueError(f"only {FEEDFORWARD} has a number of steps, not {self.cell}")
        return self
