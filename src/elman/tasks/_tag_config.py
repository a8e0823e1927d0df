"""The sections of tagging's configuration; torch is not imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from elman.tasks._section import Sections
from elman.tasks._table_config import RecurrentNet, TableData

RESTORE, RESTORE_ROWS = "capitals-and-commas", 16_000
"""The default data set, whose labels say how a word is written and what follows it; how many of
its rows are read, enough to learn from in some minutes."""


class TagData(TableData):
    """Which sentences are read: words, and a label for each."""

    default: ClassVar[str] = RESTORE

    batch: int = Field(16, ge=1, description="rows of a batch")
    tag: str | None = Field(
        None,
        description="column of the label: of CoNLL-U a name, upos if unset; of other files of "
        "columns a number, the last if unset",
    )
    tokens: str = Field("tokens", description="JSON lines, Parquet: key of the list of words")
    tags: str = Field("tags", description="JSON lines, Parquet: key of the list of labels")
    aim: Literal["accuracy", "macro_f1"] = Field(
        "accuracy",
        description="what labels are said for: the likeliest, or with offsets that are fitted on "
        "the validation rows, so that rare ones are said, too",
    )
    vocabulary: int | None = Field(20_000, ge=2, description="most words that have a vector")
    min_count: int = Field(
        2, ge=1, description="rarer words are known by their characters alone, as are new ones"
    )

    @classmethod
    def implied(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Some of the default set's rows, and rare labels among them, unless told otherwise."""
        if given.get("name") == RESTORE:
            given = {"rows": RESTORE_ROWS, "aim": "macro_f1", **given}
        return given


class TagNet(RecurrentNet):
    """Words by themselves and by their characters, recurrent layers, a softmax at each word."""

    embedding: int = Field(100, ge=1, description="size of a word's vector")
    vectors: Path | None = Field(
        None, description="pre-trained vectors (.vec, .txt); words without one are drawn alike"
    )
    freeze: bool = Field(False, description="leave the words' vectors as they begin")
    characters: int = Field(
        32, ge=0, description="units of each direction that read a word's characters; 0 for none"
    )
    hidden: int = Field(128, ge=1, description="hidden units of a layer and direction")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout on the words, between layers and on the output"
    )
    window: int = Field(
        5, ge=1, description="feedforward: words that it sees, the middle one's tag"
    )


SECTIONS = Sections(
    TagData,
    TagNet,
    {
        "max_steps": 2600,
        "optimizer": "adam",
        "lr": 4e-3,
        "schedule": "cosine",
        "warmup": 100,
        "clip_limit": 1.0,
    },
)
