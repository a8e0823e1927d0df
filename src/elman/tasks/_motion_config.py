"""The sections of the ball's configuration; torch is not imported here."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from elman.tasks._section import TRAINING, Sections
from elman.tasks._table_config import CELL, FEEDFORWARD, Division, FileData, RecurrentNet

FILMED = {"balls": 1, "gravity": 0.006, "speed": 0.04, "noise": 0.02, "occlusion": False}
"""What is to be chosen of videos that are made, and how it is unless it is chosen."""


class MotionData(Division, FileData):
    """Which videos are read, or what happens in those that are made."""

    default: ClassVar[str] = "ball"

    size: int = Field(
        20, ge=8, multiple_of=2, description="side of a frame in pixels; frames are scaled to it"
    )
    batch: int = Field(16, ge=1, description="batch size")
    balls: int | None = Field(None, ge=1, description="generated videos: number of balls")
    gravity: float | None = Field(
        None, ge=0, description="generated videos: acceleration, in box sides per frame squared"
    )
    speed: float | None = Field(
        None,
        ge=0,
        description="generated videos: standard deviation of the first velocity, in sides per "
        "frame",
    )
    noise: float | None = Field(
        None,
        ge=0,
        description="generated videos: standard deviation of the pixel noise; white is 1",
    )
    occlusion: bool | None = Field(
        None, description="generated videos: hide part of each video behind a bar"
    )

    @classmethod
    def implied(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return {**FILMED, **settings} if settings.get("name") else settings

    @model_validator(mode="after")
    def _made_alone_are_chosen(self) -> Self:
        chosen = [name for name in FILMED if getattr(self, name) is not None]
        if self.name is None and chosen:
            raise ValueError(f"only generated videos have the options {', '.join(chosen)}")
        return self


class MotionNet(RecurrentNet):
    """From a frame to a position, recurrent layers over positions, the next position out."""

    cell: str = Field("gru", description=f"{CELL}; or {FEEDFORWARD}, which reads one frame")
    hidden: int = Field(128, ge=1, description="hidden units of a layer")
    encoder: Literal["conv", "linear"] = Field("conv", description="the encoder of a frame")
    channels: int = Field(8, ge=1, description="conv: channels of its first layer")
    predict: Literal["positions", "frames"] = Field(
        "positions", description="predict the next positions, or the next frame as well"
    )
    context: int = Field(10, ge=2, description="frames that are read before the roll-out")
    ahead: int = Field(20, ge=1, description="steps of the roll-out, without frames")


SECTIONS = Sections(
    MotionData,
    MotionNet,
    {**TRAINING, "max_steps": 7000, "lr": 3e-3},
)
