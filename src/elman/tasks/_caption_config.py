"""The sections of captioning's configuration; torch is not imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from elman.tasks._section import TRAINING, Sections
from elman.tasks._table_config import Division, FileData, RecurrentNet

SCENES, SCENES_SIZE = "scenes", 40
"""The default data set, and the side of its pictures."""


CONVOLUTIONS = "convolutions"
"""The encoder that is not pre-trained."""


class CaptionData(Division, FileData):
    """Which images are read, and what is said of them."""

    default: ClassVar[str] = SCENES

    image: str = Field("image", description="column of the image file")
    caption: str = Field("caption", description="column of the caption; one row per caption")
    images: Path | None = Field(
        None, description="folder of the image files; the folder of the captions file if unset"
    )
    size: int = Field(
        64, ge=4, le=1024, description="side of the square in pixels to which images are resized"
    )
    aim: Literal["bleu", "exact_match"] = Field(
        "bleu", description="the metric of a run, which selects the best weights"
    )
    lowercase: bool = Field(True, description="convert captions to lower case")
    min_count: int = Field(
        1, ge=1, description="words with fewer occurrences become <unk>, which is never generated"
    )
    vocabulary: int | None = Field(
        10_000, ge=3, description="maximum vocabulary size, with <unk> and <eos>"
    )
    batch: int = Field(32, ge=1, description="batch size in images, each with all its captions")

    @classmethod
    def implied(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Scenes are as large as they are made, and have one right caption."""
        if settings.get("name") == SCENES:
            settings = {"size": SCENES_SIZE, "aim": "exact_match", **settings}
        return settings


class CaptionNet(RecurrentNet):
    """An encoder that sees, recurrent layers that say, and attention between the two."""

    encoder: Literal[
        "convolutions",
        "resnet18",
        "resnet50",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "efficientnet_b0",
    ] = Field(
        "convolutions",
        description="image encoder: convolutions that are trained with the rest, or a pre-trained "
        "network of torchvision",
    )
    weights: Path | None = Field(
        None,
        description="file of the weights of a pre-trained encoder (a state_dict of torch, or "
        "safetensors); if unset, the file that torchvision keeps",
    )
    freeze: bool = Field(True, description="do not train a pre-trained encoder")
    channels: list[int] = Field(
        [32, 64, 64],
        min_length=1,
        description="channels of each convolution; each halves height and width",
    )
    attention: Literal["none", "bahdanau", "luong"] = Field(
        "luong",
        description="attention to the regions of the image: none, before each step (bahdanau), or "
        "after it (luong)",
    )
    embedding: int = Field(64, ge=1, description="embedding size")
    hidden: int = Field(128, ge=1, description="hidden units per layer")
    dropout: float = Field(
        0.1, ge=0, lt=1, description="dropout on words, between layers and on the output"
    )
    init: str | None = Field(
        None,
        description="initialization scheme of the cells, see elman.init; if unset, forget_bias for "
        "gated cells, so that they keep the image at first",
    )
    word_dropout: float = Field(
        0.6,
        ge=0,
        lt=1,
        description="share of the decoder inputs replaced by <unk> in training, so that the image "
        "is used",
    )
    beam: int = Field(1, ge=1, description="beam width of the search; 1 is greedy")
    length_penalty: float = Field(
        0.7,
        ge=0,
        description="length penalty of the beam search: 0 compares sums, 1 compares means",
    )
    longest: int = Field(40, ge=1, description="maximum number of generated words")

    @model_validator(mode="after")
    def _belongs_to_the_encoder(self) -> Self:
        if self.encoder != CONVOLUTIONS:
            if self.channels != type(self).model_fields["channels"].default:
                raise ValueError(f"channels are those of convolutions, not of {self.encoder}")
        elif self.weights is not None:
            raise ValueError("weights are for a pre-trained encoder: set model.encoder")
        elif not self.freeze:
            raise ValueError("freeze is for a pre-trained encoder: set model.encoder")
        return self


SECTIONS = Sections(
    CaptionData,
    CaptionNet,
    {**TRAINING, "max_steps": 6000, "lr": 3e-3},
)
