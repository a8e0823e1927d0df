"""The sections of music's configuration; torch is not imported here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from elman.tasks._section import TRAINING, Section, Sections
from elman.tasks._table_config import Division, FileData, RecurrentNet


class MusicData(Division, FileData):
    """Which pieces are read, and how long a frame is."""

    default: ClassVar[str] = "chorales"

    batch: int = Field(8, ge=1, description="batch size in pieces")
    step: Literal["quarter", "eighth", "sixteenth"] = Field(
        "eighth",
        description="length of a frame as a note; for .mat sets it only sets the tempo",
    )

    @model_validator(mode="after")
    def _pieces_have_no_columns(self) -> Self:
        if self.columns or self.encoding != "utf-8":
            raise ValueError("pieces are no text: leave out columns and encoding")
        if any(file.suffix.lower() == ".mat" for file in (*self.valid, *self.test)):
            raise ValueError("a .mat set holds all its parts: give it to train on, alone")
        return self


class MusicNet(RecurrentNet):
    """The frames so far, recurrent layers, and which of 88 keys sound next."""

    hidden: int = Field(200, ge=1, description="hidden units per layer")
    dropout: float = Field(0.4, ge=0, lt=1, description="dropout between layers and on the output")
    frame_dropout: float = Field(0.1, ge=0, lt=1, description="dropout on the input frames")
    output: Literal["frames", "chords"] = Field(
        "chords",
        description="predict the keys of a frame independently (frames), or each given those "
        "below it (chords)",
    )
    units: int = Field(100, ge=1, description="chords: hidden units of the network over keys")
    window: int = Field(8, ge=1, description="feedforward: input length in frames")


class MusicAsked(Section):
    """What `elman generate` is asked for."""

    length: int = Field(
        128, ge=1, le=1_000_000, description="number of frames to generate, at most a million"
    )
    temperature: float = Field(
        1.0,
        ge=0,
        description="sampling temperature: below 1 favors likely notes, 0 is deterministic",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="the same seed gives the same music")
    prime: Path | None = Field(None, description="a piece to continue: MIDI or MusicXML")
    prime_frames: int = Field(32, ge=1, description="number of frames of the prime")
    tempo: float = Field(84, gt=0, description="tempo in quarter notes per minute")
    output: Path | None = Field(
        None,
        description="the MIDI file, beside which picture and sound are written; "
        "RUN/generated/seed-SEED.mid if unset",
    )


SECTIONS = Sections(
    MusicData,
    MusicNet,
    {
        **TRAINING,
        "max_steps": 2400,
        "lr": 3e-3,
        "bptt": "truncated",
        "k1": 64,  # the state is carried on; a whole piece for one update learns less in the time
    },
    windows=True,
    generate=MusicAsked,
)
