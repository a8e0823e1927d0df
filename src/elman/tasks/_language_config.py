"""The sections of the language model's configuration; torch is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_serializer, field_validator, model_validator

from elman.cells.references import check
from elman.tasks._section import TRAINING, Section, Sections
from elman.tasks._table_config import (
    CELL,
    OPTIONS,
    Options,
    check_activation,
    check_constructor,
    check_options,
    spell_none,
)

EMBEDDED, EMBEDDED_LINES = "movie-reviews", 9_000
"""What a run reads that is given no text: enough to learn from in some minutes on two cores."""


class LanguageData(Section):
    """Which text is read, and how it becomes tokens and batches."""

    train: list[Path] = Field([], description="training text: files or folders")
    valid: list[Path] = Field(
        [], description="validation text; split off the training text if unset"
    )
    test: list[Path] = Field([], description="test text; split off the training text if unset")
    name: str | None = Field(
        None, description=f"a named data set, see `elman data`; {EMBEDDED} if no files are given"
    )
    lines: int | None = Field(
        None,
        ge=3,
        description="read only this many lines of the data set or the training files; "
        f"all if unset, but {EMBEDDED_LINES} of {EMBEDDED} where neither is given",
    )
    encoding: str = Field("utf-8", description="encoding of the files")
    valid_share: float = Field(
        0.05, ge=0, lt=1, description="share of the lines split off for validation"
    )
    test_share: float = Field(
        0.05, ge=0, lt=1, description="share of the lines split off for testing"
    )

    level: Literal["word", "char", "bpe", "unigram"] = Field(
        "word", description="tokenization level"
    )
    vocabulary: int | None = Field(
        10_000, ge=2, description="maximum vocabulary size (larger is slower)"
    )
    min_count: int = Field(1, ge=1, description="tokens with fewer occurrences become <unk>")
    eos: bool = Field(True, description="end each line with the token <eos>")
    lowercase: bool | None = Field(
        None, description="convert text to lower case; if unset, for words only"
    )
    punctuation: bool | None = Field(
        None,
        description="split off punctuation as tokens; if unset, for words only",
    )

    lanes: int = Field(
        16, ge=1, description="batch size: the text is read in this many contiguous rows"
    )
    eval_lanes: int | None = Field(
        None, ge=1, description="batch size of validation and test; as in training if unset"
    )
    length: int | None = Field(
        None,
        ge=1,
        description="steps of a batch, with the state carried over; the whole row if unset",
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        """What follows from what is given: the embedded text where none is, words told apart."""
        if not isinstance(values, Mapping):
            return values
        resolved = {k: v for k, v in values.items() if v is not None}
        words = resolved.get("level", "word") == "word"
        resolved = {"lowercase": words, "punctuation": words, **resolved}
        if not resolved.get("train") and "name" not in resolved:
            resolved = {"lines": EMBEDDED_LINES, **resolved, "name": EMBEDDED}
        return {**dict.fromkeys(values), **resolved}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.name is None) == (not self.train):
            raise ValueError("give either files to train on or the name of a data set")
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share must leave something to train on")
        return self


class LanguageNet(Section):
    """The network: an embedding, recurrent layers, a softmax over the vocabulary."""

    cell: str = Field("lstm", description=CELL)
    layers: int = Field(1, ge=1, description="number of recurrent layers")
    hidden: int = Field(128, ge=1, description="hidden units per layer")
    input: Literal["embedding", "one-hot"] = Field(
        "embedding", description="input representation of a token"
    )
    embedding: int | None = Field(None, ge=1, description="embedding size; hidden if unset")
    tied: bool = Field(False, description="tie the embedding and the output weights")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout on the embedding, between layers and on the output"
    )
    activation: str | None = Field(None, description="activation of the Elman cell; tanh if unset")
    options: Options = Field(None, description=OPTIONS)
    init: str | None = Field(None, description="initialization scheme of the cells, see elman.init")
    init_range: float | None = Field(
        None, gt=0, description="draw all initial weights uniformly from [-x, x]"
    )
    engine: str = Field("auto", description="engine that runs the recurrence")

    @field_validator("cell")
    @classmethod
    def _known_cell(cls, cell: str) -> str:
        check(cell)
        return cell

    @field_validator("options")
    @classmethod
    def _known_options(cls, options: Options, info: ValidationInfo) -> Options:
        return check_options(info.data.get("cell"), options)

    @field_serializer("options", when_used="json")
    def _without_none(self, options: Options) -> dict[str, Any] | None:
        return spell_none(options)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_activation(self.cell, self.activation)
        check_constructor(self.cell, self.activation, self.options)
        if self.tied and self.input == "one-hot":
            raise ValueError('tied weights are the embedding\'s: use input = "embedding"')
        if self.tied and self.embedding not in (None, self.hidden):
            raise ValueError(
                f"tied weights need embedding = hidden = {self.hidden}, got {self.embedding}"
            )
        if self.init and self.init_range:
            raise ValueError("init and init_range both set the first weights: give one")
        return self


class LanguageAsked(Section):
    """What `elman generate` is asked for; bounds are those of `elman.decode.sample`."""

    prompt: list[str] = Field(
        [], description="text to continue; repeat for several; a new line if unset"
    )
    length: int = Field(
        100, le=10_000_000, description="number of tokens to generate, at most ten million"
    )
    temperature: float = Field(
        1.0, description="sampling temperature: below 1 favors likely tokens, 0 is greedy"
    )
    top_k: int | None = Field(None, description="sample from the k likeliest tokens only")
    seed: int = Field(0, ge=-(2**63), lt=2**63, description="random seed")


SECTIONS = Sections(
    LanguageData,
    LanguageNet,
    {
        **TRAINING,
        "max_steps": 9600,
        "lr": 6e-3,
        "warmup": 200,
        "k1": 32,
    },
    windows=True,
    generate=LanguageAsked,
)
