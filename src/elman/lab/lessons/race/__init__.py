"""Lesson 9: RNN against LSTM against GRU, with equal parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field

from elman.lab._lesson import Ask, Lesson


__all__ = ["LESSON"]


class Race(BaseModel, extra="forbid", allow_inf_nan=False):
    """A task, how far apart in time its two ends are, and a budget that all three have."""

    task: Literal["recall", "echo", "adding", "parity"] = "recall"
    distance: int = Field(4, ge=1, le=10, description="how far back the answer lies")
    units: int = Field(24, ge=4, le=32, description="units of the GRU; the others are as large")
    updates: int = Field(300, ge=40, le=400)
    rate: float = Field(0.01, ge=1e-4, le=0.1, description="learning rate of Adam")
    seed: int = Field(0, ge=0, le=2**31 - 1)


def run(settings: Race) -> Iterator[dict[str, object]]:
    """The three in turns: their sizes, their scores as they go, and the winner."""
    from elman.lab.lessons.race._lanes import race

    yield from race(
        settings.task,
        distance=settings.distance,
        units=settings.units,
        updates=settings.updates,
        rate=settings.rate,
        seed=settings.seed,
    )


LESSON = Lesson(
    slug="race",
    number=9,
    title="RNN against LSTM against GRU",
    minutes=6,
    question="Three networks with equal parameters: which one wins?",
    asks=(
        Ask(
            "race.run",
            Race,
            run,
            tuple(
                {"task": task, "distance": distance}
                for task, distance in (("recall", 1), ("recall", 4), ("echo", 4), ("echo", 8))
            ),
        ),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
