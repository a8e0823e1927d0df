"""The sections of translation's configuration; torch is not imported here."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from elman._errors import nearest
from elman.data import CATALOG
from elman.tasks._section import Sections
from elman.tasks._table_config import FEEDFORWARD, RecurrentNet, TableData

Level = Literal["word", "char", "bpe", "unigram"]

SPELLING = "cmudict"
"""The default data set: letters are translated to phonemes."""

NAMED: dict[str, dict[str, Any]] = {
    SPELLING: {
        "level": "char",
        "target_level": "word",
        "aim": "phoneme_error",
        "valid_share": 0.05,
    },
    "emoji": {"source": "en", "target": "de", "aim": "exact_match", "vocabulary": 1_500},
}
"""What the named data sets are read with, unless told otherwise."""


class TranslateData(TableData):
    """Which pairs are read: a text, and the same in another language."""

    default: ClassVar[str] = SPELLING

    batch: int = Field(64, ge=1, description="rows of a batch")
    source: str = Field("source", description="column of the text to translate")
    target: str = Field(
        "target", description="column of its translation; several in a list are all right"
    )
    level: Level = Field("bpe", description="what a token of the source is")
    target_level: Level = Field("bpe", description="what a token of the target is")
    vocabulary: int | None = Field(
        8_000, ge=2, description="most entries of the vocabulary of each side"
    )
    min_count: int = Field(1, ge=1, description="what is rarer becomes <unk>, or is not merged")
    lowercase: bool = Field(False, description="read all text as lower case")
    punctuation: bool = Field(True, description="words: make punctuation marks tokens of their own")
    max_length: int = Field(
        200, ge=2, description="tokens read of each side; how many rows have more is said"
    )
    aim: Literal["bleu", "exact_match", "phoneme_error"] = Field(
        "bleu",
        description="what a run is judged by; phoneme_error counts edits of the target's words",
    )

    @classmethod
    def implied(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**NAMED.get(given.get("name", ""), {}), **given}

    @model_validator(mode="after")
    def _columns_are_there(self) -> Self:
        for dataset in CATALOG:
            if dataset.name == self.name and "translate" in dataset.tasks:
                for column in {self.source, self.target}.difference(dataset.columns):
                    raise ValueError(
                        f"{self.name} has no column {column!r}: {nearest(column, dataset.columns)}"
                    )
        return self


class TranslateNet(RecurrentNet):
    """An encoder, a decoder, and how the one looks at the other."""

    embedding: int = Field(64, ge=1, description="size of a token's vector")
    hidden: int = Field(128, ge=1, description="hidden units of a layer and direction")
    bidirectional: bool = Field(True, description="encode in both directions")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout on embeddings, between layers and on the output"
    )
    attention: Literal["none", "bahdanau", "luong"] = Field(
        "luong",
        description="how the decoder looks at the source; none: all goes through one vector",
    )
    feed: bool | None = Field(
        None,
        description="whether what it sees goes into its recurrence, a step at a time; bahdanau: "
        "yes, luong: no, unless told",
    )
    sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="scheduled sampling: of the tokens that the decoder is told in training, the "
        "share that it said itself; in epoch e, from 0, e / (e + 1) of it",
    )
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing in training")
    tie: bool = Field(
        False, description="one matrix for target vectors and output; needs embedding = hidden"
    )
    beam: int = Field(1, ge=1, description="sequences that a search keeps; 1 is greedy")
    length_penalty: float = Field(
        1.0, ge=0, description="how much a beam search makes up for length: 0 not, 1 compares means"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.cell == FEEDFORWARD:
            raise ValueError(
                f"translation has no {FEEDFORWARD}: a sequence is said step by step; use a cell"
            )
        if self.feed and self.attention == "none":
            raise ValueError("without attention there is nothing to feed: leave out feed")
        if self.tie and self.embedding != self.hidden:
            raise ValueError(
                f"tied weights need one size, got an embedding of {self.embedding} and "
                f"{self.hidden} hidden units"
            )
        return self


SECTIONS = Sections(
    TranslateData,
    TranslateNet,
    {
        "max_steps": 8000,
        "optimizer": "adam",
        "lr": 3e-3,
        "schedule": "cosine",
        "warmup": 200,
        "clip_limit": 1.0,
    },
)
"""Encoder and decoder, with attention between them or without."""
