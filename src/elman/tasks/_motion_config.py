"""The sections of the ball's configuration; torch is not imported here."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from elman.tasks._section import Sections
from elman.tasks._table_config import CELL_NAMES, FEEDFORWARD, RecurrentNet, TableData

FILMED = {"balls": 1, "gravity": 0.006, "speed": 0.04, "noise": 0.02, "occlusion": False}
"""What is to be chosen of videos that are made, and how it is unless it is chosen."""


class MotionData(TableData):
    """Which videos are read, or what happens in those that are made."""

    default: ClassVar[str] = "ball"

    size: int = Field(
        20, ge=8, multiple_of=2, description="pixels of a frame's side; frames are made so small"
    )
    batch: int = Field(16, ge=1, description="rows of a batch")
    balls: int | None = Field(None, ge=1, description="made videos: balls in the box")
    gravity: float | None = Field(
        None, ge=0, description="made videos: the fall, in box sides per frame and frame"
    )
    speed: float | None = Field(
        None, ge=0, description="made videos: deviation of the first velocity, in sides per frame"
    )
    noise: float | None = Field(
        None, ge=0, description="made videos: deviation of the noise of a pixel, white being 1"
    )
    occlusion: bool | None = Field(
        None, description="made videos: a bar in front of the balls, somewhere in each"
    )

    @classmethod
    def implied(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**FILMED, **given} if given.get("name") else given

    @model_validator(mode="after")
    def _made_alone_are_chosen(self) -> Self:
        chosen = [name for name in FILMED if getattr(self, name) is not None]
        if self.name is None and chosen:
            raise ValueError(f"only videos that are made have {', '.join(chosen)} to choose")
        return self


class MotionNet(RecurrentNet):
    """From a frame to a position, recurrent layers over positions, the next position out."""

    cell: str = Field(
        "gru",
        description=f"the recurrent cell: {', '.join(CELL_NAMES)}; or {FEEDFORWARD}, which sees "
        "one frame",
    )
    hidden: int = Field(128, ge=1, description="hidden units of a layer")
    bidirectional: Literal[False] = Field(False, description="the future is not seen")
    encoder: Literal["conv", "linear"] = Field("conv", description="what looks at a frame")
    channels: int = Field(8, ge=1, description="conv: channels of its first layer")
    predict: Literal["positions", "frames"] = Field(
        "positions", description="what is told of the next step: where balls are, or the image too"
    )
    seen: int = Field(10, ge=2, description="frames that are seen before it goes on by itself")
    ahead: int = Field(20, ge=1, description="steps that it is then asked to go on")


SECTIONS = Sections(
    MotionData,
    MotionNet,
    {
        "max_steps": 7000,
        "optimizer": "adam",
        "lr": 3e-3,
        "schedule": "cosine",
        "warmup": 100,
        "clip_limit": 1.0,
    },
)
