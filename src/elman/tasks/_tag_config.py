"""The sections of tagging's configuration; torch is not imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from elman.tasks._section import TRAINING, Sections
from elman.tasks._table_config import Division, FileData, RecurrentNet

RESTORE, RESTORE_ROWS = "capitals-and-commas", 16_000
"""The default data set, whose labels say how a word is written and what follows it; how many of
its rows are read, enough to learn from in some minutes."""


class TagData(Division, FileData):
    """Which sentences are read: words, and a label for each."""

    default: ClassVar[str] = RESTORE

    batch: int = Field(16, ge=1, description="batch size")
    tag: str | None = Field(
        None,
        description="column of the label: a name in CoNLL-U, upos if unset; a number in other "
        "column files, the last if unset",
    )
    tokens: str = Field("tokens", description="JSON lines, Parquet: key of the list of words")
    tags: str = Field("tags", description="JSON lines, Parquet: key of the list of labels")
    aim: Literal["accuracy", "macro_f1"] = Field(
        "accuracy",
        description="the metric: accuracy predicts the likeliest label; macro_f1 adds offsets "
        "fitted on the validation rows, so that rare labels are predicted, too",
    )
    blank: str | None = Field(
        None,
        description="a label that says nothing: symbol_accuracy is over the words with any other; "
        "_ for copy-memory",
    )
    vocabulary: int | None = Field(
        20_000, ge=2, description="maximum number of words with a vector"
    )
    min_count: int = Field(
        2, ge=1, description="words with fewer occurrences are represented by their characters only"
    )

    @classmethod
    def implied(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Some of the default set's rows, and rare labels among them, unless told otherwise."""
        if settings.get("name") == "copy-memory":
            settings = {"blank": "_", **settings}
        if settings.get("name") == RESTORE:
            settings = {"rows": RESTORE_ROWS, "aim": "macro_f1", **settings}
        return settings


class TagNet(RecurrentNet):
    """Words by themselves and by their characters, recurrent layers, a softmax at each word."""

    embedding: int = Field(100, ge=1, description="size of the word vectors")
    vectors: Path | None = Field(
        None,
        description="pre-trained vectors (.vec, .txt); other words are drawn with the same mean "
        "and deviation",
    )
    freeze: bool = Field(False, description="do not train the word vectors")
    characters: int = Field(
        32, ge=0, description="hidden units per direction of the character network; 0 for none"
    )
    hidden: int = Field(128, ge=1, description="hidden units per layer and direction")
    bidirectional: bool = Field(True, description="bidirectional layers")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout on the words, between layers and on the output"
    )
    window: int = Field(5, ge=1, description="feedforward: window of words around the tagged one")


SECTIONS = Sections(
    TagData,
    TagNet,
    {**TRAINING, "max_steps": 2600, "lr": 4e-3},
)
