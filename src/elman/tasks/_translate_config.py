"""The sections of translation's configuration; torch is not imported here."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from elman._errors import nearest
from elman.data import CATALOG
from elman.tasks._section import TRAINING, Sections
from elman.tasks._table_config import FEEDFORWARD, Division, FileData, RecurrentNet

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


class TranslateData(Division, FileData):
    """Which pairs are read: a text, and the same in another language."""

    default: ClassVar[str] = SPELLING

    batch: int = Field(64, ge=1, description="batch size")
    source: str = Field("source", description="column of the text to translate")
    target: str = Field(
        "target", description="column of the translation, or of a list of correct translations"
    )
    level: Level = Field("bpe", description="tokenization level of the source")
    target_level: Level = Field("bpe", description="tokenization level of the target")
    vocabulary: int | None = Field(8_000, ge=2, description="maximum vocabulary size of each side")
    min_count: int = Field(
        1, ge=1, description="tokens with fewer occurrences become <unk>, or are not merged"
    )
    lowercase: bool = Field(False, description="convert text to lower case")
    punctuation: bool = Field(True, description="words: split off punctuation as tokens")
    max_length: int = Field(
        200,
        ge=2,
        description="maximum number of tokens of each side (the number of truncated rows is "
        "reported)",
    )
    aim: Literal["bleu", "exact_match", "phoneme_error"] = Field(
        "bleu",
        description="the metric of a run; phoneme_error is the edit distance in words of the "
        "target",
    )

    @classmethod
    def implied(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return {**NAMED.get(settings.get("name", ""), {}), **settings}

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

    embedding: int = Field(64, ge=1, description="embedding size")
    hidden: int = Field(128, ge=1, description="hidden units per layer and direction")
    bidirectional: bool = Field(True, description="bidirectional encoder")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout on embeddings, between layers and on the output"
    )
    attention: Literal["none", "bahdanau", "luong"] = Field(
        "luong",
        description="attention to the source; none: the source is one vector",
    )
    feed: bool | None = Field(
        None,
        description="input feeding: the attention vector enters the recurrence; if unset, true for "
        "bahdanau and false for luong",
    )
    sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="scheduled sampling: share of the decoder inputs in training that are its own "
        "predictions; multiplied by e / (e + 1) in epoch e, from 0",
    )
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing in training")
    tied: bool = Field(
        False,
        description="tie the target embedding and the output weights; needs embedding = hidden",
    )
    beam: int = Field(1, ge=1, description="beam width of the search; 1 is greedy")
    length_penalty: float = Field(
        1.0,
        ge=0,
        description="length penalty of the beam search: 0 compares sums, 1 compares means",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.cell == FEEDFORWARD:
            raise ValueError(
                f"translation has no {FEEDFORWARD}: a sequence is generated step by step; "
                "use a cell"
            )
        if self.feed and self.attention == "none":
            raise ValueError("without attention there is nothing to feed: leave out feed")
        if self.tied and self.embedding != self.hidden:
            raise ValueError(
                f"tied weights need one size, got an embedding of {self.embedding} and "
                f"{self.hidden} hidden units"
            )
        return self


SECTIONS = Sections(
    TranslateData,
    TranslateNet,
    {
        **TRAINING,
        "max_steps": 8000,
        "lr": 3e-3,
        "warmup": 200,
    },
)
"""Encoder and decoder, with attention between them or without."""
