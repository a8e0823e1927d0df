"""The sections of captioning's configuration; torch is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from elman.tasks._section import Sections
from elman.tasks._table_config import RecurrentNet, TableData

SCENES, SCENES_SIZE = "scenes", 40
"""The default data set, and the side of its pictures."""

GATED = ("lstm", "gru")
"""Cells that `elman.init.forget_bias` fits."""


class CaptionData(TableData):
    """Which images are read, and what is said of them."""

    default: ClassVar[str] = SCENES

    image: str = Field("image", description="column of the image's file")
    caption: str = Field("caption", description="column of the caption; one row for each")
    images: Path | None = Field(
        None, description="folder of the image files; beside the captions file if unset"
    )
    size: int = Field(
        64, ge=4, le=1024, description="side in pixels of the square that images are squeezed into"
    )
    aim: Literal["bleu", "exact_match"] = Field(
        "bleu", description="the measure that comes first and chooses the best weights"
    )
    lowercase: bool = Field(True, description="read captions as lower case")
    min_count: int = Field(1, ge=1, description="rarer words are read as <unk>, and never said")
    vocabulary: int | None = Field(10_000, ge=3, description="most words, with <unk> and <eos>")
    batch: int = Field(32, ge=1, description="images of a batch, each with all its captions")

    @classmethod
    def implied(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Scenes are as large as they are made, and have one right caption."""
        if given.get("name") == SCENES:
            given = {"size": SCENES_SIZE, "aim": "exact_match", **given}
        return given


class CaptionNet(RecurrentNet):
    """Convolutions that see, recurrent layers that say, and attention between the two."""

    channels: list[int] = Field(
        [32, 64, 64],
        min_length=1,
        description="of each convolution; each halves the image's height and width",
    )
    attention: Literal["none", "bahdanau", "luong"] = Field(
        "luong",
        description="how the decoder looks at the regions of the image: not at all, before each "
        "step (bahdanau), or after it (luong)",
    )
    embedding: int = Field(64, ge=1, description="size of a word's vector")
    hidden: int = Field(128, ge=1, description="hidden units of a layer")
    bidirectional: Literal[False] = Field(False, description="captions are said forward")
    dropout: float = Field(
        0.1, ge=0, lt=1, description="dropout on words, between layers and on the output"
    )
    init: str | None = Field(
        None,
        description="scheme of the cells' first weights, see elman.init; forget_bias for gates "
        "if unset, so that at first they keep what they begin from",
    )
    word_dropout: float = Field(
        0.6,
        ge=0,
        lt=1,
        description="share of the words before that the decoder is not told in training, so that "
        "it has to look at the image",
    )
    beam: int = Field(1, ge=1, description="captions that are weighed side by side; 1 is greedy")
    length_penalty: float = Field(
        0.7, ge=0, description="how much the length of a caption is made up for when they are"
    )
    longest: int = Field(40, ge=1, description="most words that are said")

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("init") is not None:
            return values
        return {**values, "init": "forget_bias" if values.get("cell", "lstm") in GATED else None}


SECTIONS = Sections(
    CaptionData,
    CaptionNet,
    {
        "max_steps": 6000,
        "optimizer": "adam",
        "lr": 3e-3,
        "schedule": "cosine",
        "warmup": 100,
        "clip_limit": 1.0,
    },
)
