"""Sections of tasks that read one sequence, text or numbers; torch is not imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from elman.data import CATALOG
from elman.tasks._section import Section
from elman.tasks._table_config import FEEDFORWARD

LONG = 1_000_000
"""Steps of numbers that the network reads unless told."""


class SequenceColumn(Section):
    """Which column the sequence is in, and how it becomes numbers."""

    text: str | None = Field("text", description="column of the text, or of a list of tokens")
    series: str | None = Field(
        None,
        description="instead of text: a column with a list of numbers, or a pattern such as x* "
        "for a column per step",
    )
    standardize: bool | None = Field(
        None, description="series: standardize by the training rows; if unset, for files only"
    )
    permute: int | None = Field(
        None,
        ge=0,
        lt=2**32,
        description="series: seed of a permutation of the steps, the same for every row",
    )
    level: Literal["word", "char", "bpe", "unigram"] = Field(
        "word", description="tokenization level"
    )
    vocabulary: int | None = Field(20_000, ge=2, description="maximum vocabulary size")
    min_count: int = Field(1, ge=1, description="tokens with fewer occurrences become <unk>")
    lowercase: bool | None = Field(
        None, description="convert text to lower case; if unset, for words only"
    )
    punctuation: bool | None = Field(
        None, description="split off punctuation as tokens; if unset, for words only"
    )
    max_length: int = Field(
        400,
        ge=1,
        description="maximum number of steps read per row (the number of truncated rows is "
        "reported)",
    )
    keep: Literal["head", "tail"] = Field("head", description="which end of a longer row is read")

    @classmethod
    def implied(cls, settings: dict[str, Any]) -> dict[str, Any]:
        words = settings.get("level", "word") == "word"
        settings = {"lowercase": words, "punctuation": words, **settings}
        if any(set_.name == settings.get("name") and "series" in set_.columns for set_ in CATALOG):
            settings = {"series": "series", **settings}
        if settings.get("series"):
            whole = {"max_length": LONG, "standardize": "name" not in settings}
            settings = {**whole, **settings, "text": None}
        return settings

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if not self.text and not self.series:
            raise ValueError("name the column of the sequence: text, or series")
        if self.permute is not None and not self.series:
            raise ValueError("only the steps of a series can be permuted: set series")
        return self


class SequenceLayers(Section):
    """From a sequence to one vector."""

    embedding: int | None = Field(None, ge=1, description="embedding size; hidden if unset")
    vectors: Path | None = Field(
        None,
        description="pre-trained vectors (.vec, .txt); other words are drawn with the same mean "
        "and deviation",
    )
    freeze: bool = Field(False, description="do not train the embedding")
    pool: Literal["last", "mean", "max", "mean+max", "attention"] = Field(
        "mean+max", description="pooling of the states over time"
    )
    steps: int | None = Field(
        None, ge=1, description="feedforward: input length in steps; data.max_length if unset"
    )

    @model_validator(mode="after")
    def _steps_are_for_feedforward(self) -> Self:
        cell = getattr(self, "cell", FEEDFORWARD)  # of the recurrent layers, beside these
        if self.steps is not None and cell != FEEDFORWARD:
            raise ValueError(f"only {FEEDFORWARD} has a number of steps, not {cell}")
        return self
