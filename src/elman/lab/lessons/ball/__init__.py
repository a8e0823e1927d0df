"""Lesson 1: where will the ball go? A network that sees one frame, and one that remembers.

Its weights are the folders of two runs, without the rows that they were trained on::

    elman train motion --model.cell gru --model.hidden 64 --data.rows 2000 \
        --train.max_steps 4000 --train.threads 1 --train.seed 0
    elman train motion --model.cell feedforward --model.hidden 64 --data.rows 2000 \
        --train.max_steps 600 --train.threads 1 --train.seed 0
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON", "NETWORKS", "expected", "pairs"]

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path(__file__).parent
NETWORKS = {"feedforward": "feed-forward, one frame", "gru": "recurrent, GRU"}
MOST = 12
"""Frames that a network may see before the lights go out."""
AHEAD = 20
"""Steps that it then goes on by itself."""
TRAINED_ON = 1_000_000
"""Throws of the lesson have seeds from here on; the networks were trained on those of seed 0."""


class Throw(BaseModel):
    """One throw, and how much of it the networks see."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(0, ge=0, le=9999)
    frames: int = Field(4, ge=1, le=MOST)


class ManyThrows(BaseModel):
    """How many throws the errors are averaged over."""

    model_config = ConfigDict(extra="forbid")

    throws: int = Field(96, ge=8, le=256)
    seed: int = Field(0, ge=0, le=9999)


@cache
def network(name: str) -> Any:
    """The trained network of this name."""
    from elman.training import load

    return load(FOLDER / name).network


def film(seed: int, throws: int) -> tuple[Tensor, Tensor]:
    """Frames (time, throws, 20, 20) between 0 and 1, and where the ball is (time, throws, 2)."""
    import numpy as np
    import torch

    from elman.data import records

    made = records("ball", "motion", rows=throws, steps=MOST + AHEAD, seed=TRAINED_ON + seed)
    rows = [row.values for row in made]
    frames = torch.from_numpy(np.stack([row["frames"] for row in rows], 1))
    places = torch.from_numpy(np.stack([row["positions"][:, 0] for row in rows], 1))
    return frames.float() / 255, places


def expected(name: str, frames: Tensor, ahead: int) -> Tensor:
    """Where a network that saw these frames expects the ball in the next ones (ahead, throws, 2).

    The first place follows from the frames; each later one from the network's own last.
    """
    import torch

    eye = network(name)
    lengths = torch.full((frames.shape[1],), len(frames))
    with torch.no_grad():
        following, state = eye(eye.detect(frames), lengths)
        later = eye.go_on(following[-1], state, ahead - 1)
        return torch.cat([following[-1:], later])[:, :, 0]


def throw(asked: Throw) -> Iterator[dict[str, object]]:
    """The ball as it flies, and where each network expects it."""
    frames, places = film(asked.seed, 1)
    seen, truth = places[: asked.frames, 0], places[asked.frames :, 0][:AHEAD]
    yield {"event": "throw", "seen": pairs(seen), "truth": pairs(truth)}
    for name, title in NETWORKS.items():
        path = expected(name, frames[: asked.frames], AHEAD)[:, 0]
        distance = (path - truth).norm(dim=1)
        yield {
            "event": "path",
            "network": name,
            "title": title,
            "places": pairs(path),
            "next_error": float(distance[0]),
            "error": float(distance.square().mean().sqrt()),
        }


def errors(asked: ManyThrows) -> Iterator[dict[str, object]]:
    """The error of the next place by the number of frames that were seen."""
    frames, places = film(asked.seed, asked.throws)
    for name, title in NETWORKS.items():
        each = [
            (expected(name, frames[:seen], 1)[0] - places[seen]).square().sum(-1).mean().sqrt()
            for seen in range(1, MOST + 1)
        ]
        yield {
            "event": "errors",
            "network": name,
            "title": title,
            "frames": list(range(1, MOST + 1)),
            "errors": [float(error) for error in each],
        }


def pairs(path: Tensor) -> list[list[float]]:
    """Places as lists of x and y."""
    return [[round(float(x), 4), round(float(y), 4)] for x, y in path]


LESSON = Lesson(
    slug="ball",
    number=1,
    title="Where will the ball go?",
    minutes=4,
    question="From one image of a ball in flight, can anybody tell where it goes next?",
    asks=(
        Ask(
            "ball.throw",
            Throw,
            throw,
            tuple({"seed": s, "frames": f} for s in range(8) for f in (1, 2, 4, 8)),
        ),
        Ask("ball.errors", ManyThrows, errors, ({"throws": 96, "seed": 0},)),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
