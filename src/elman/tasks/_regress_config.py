"""The sections of regression's configuration; torch is not imported here."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from elman.tasks._section import TRAINING, Sections
from elman.tasks._sequence_config import SequenceColumn, SequenceLayers
from elman.tasks._table_config import (
    CELL_OR_NONE,
    Division,
    FileData,
    RecurrentNet,
)


class RegressData(SequenceColumn, Division, FileData):
    """Which rows are read: a text or numbers, and a number."""

    default: ClassVar[str] = "adding"

    target: str = Field("target", description="column of the number to predict")


class RegressNet(SequenceLayers, RecurrentNet):
    """The network: an embedding or numbers, recurrent layers, pooling, one number out."""

    cell: str = Field("gru", description=CELL_OR_NONE)
    hidden: int = Field(128, ge=1, description="hidden units per layer and direction")
    bidirectional: bool = Field(False, description="bidirectional layers")
    pool: Literal["last", "mean", "max", "mean+max", "attention"] = Field(
        "last", description="pooling of the states over time"
    )


SECTIONS = Sections(
    RegressData,
    RegressNet,
    {**TRAINING, "max_steps": 4000, "lr": 3e-3},
)
