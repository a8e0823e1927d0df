"""Lesson 11: music that a network makes, frame by frame, and that one can hear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from torch import Tensor

    from elman.tasks import Music

RUN = Path(__file__).parent / "run"
"""A run folder with a few of its test pieces; ``scripts/lab_weights`` has the command."""

PIECES = 6
"""Chorales of the test set that are in the folder."""

CONTEXTS = (1, 2, 4, 8, 16, 32, 64)
MAJOR = (0, 2, 4, 5, 7, 9, 11)
AT_ONCE, MOST = 8, 200
"""An event has so many frames, or fewer if they have more keys than that together."""


class Compose(BaseModel, extra="forbid", allow_inf_nan=False):
    """How a piece is drawn from the network."""

    temperature: float = Field(0.8, ge=0.05, le=2)
    memory: int = Field(
        0, ge=0, le=64, description="frames that the network sees; 0 is all of them"
    )
    prime: Literal[0, 8, 16] = Field(8, description="frames by Bach to go on from")
    piece: int = Field(0, ge=0, le=PIECES - 1, description="the chorale they are from")
    frames: int = Field(96, ge=8, le=128, description="eighth notes to compose")
    seed: int = Field(0, ge=0, le=2**31 - 1)


class Memory(BaseModel, extra="forbid"):
    """Nothing to choose: the shipped chorales, with more and more of their past."""


@lru_cache(maxsize=1)
def model() -> Music:
    """The network of the lesson, loaded as any run is."""
    import elman

    loaded: Music = elman.load(RUN)
    return loaded


@lru_cache(maxsize=1)
def pieces() -> list[Tensor]:
    """The shipped chorales, (frames, 88) of 0 and 1, each after a silent frame."""
    rows = model().parts["test"]
    return [frames.float() for frames in rows.sequences("frames").unbind()]


def compose(settings: Compose) -> Iterator[dict[str, object]]:
    """The prime, and then frame by frame what the network draws, as lists of keys."""
    import torch

    prime = pieces()[settings.piece][1 : settings.prime + 1]
    frames: list[Tensor] = []
    waiting: list[list[int]] = []
    for frame in drawn(settings, prime):
        frames.append(frame)
        waiting.append(frame.nonzero()[:, 0].tolist())
        if len(waiting) == AT_ONCE or sum(map(len, waiting)) > MOST - 88:
            yield {"event": "frames", "start": len(frames) - len(waiting), "keys": waiting}
            waiting = []
    if waiting:
        yield {"event": "frames", "start": len(frames) - len(waiting), "keys": waiting}
    yield {"event": "measured", "prime": len(prime), **measured(torch.stack(frames)[len(prime) :])}


def drawn(settings: Compose, prime: Tensor) -> Iterator[Tensor]:
    """The prime's frames (88,), and those that the network draws after them.

    With a bounded memory the state is made anew for each frame, from the last so many frames.
    """
    import torch

    network = model().network
    generator = torch.Generator().manual_seed(settings.seed)
    seen = torch.cat([torch.zeros(1, prime.shape[1]), prime])
    state = None
    yield from prime
    with torch.no_grad():
        hidden, state = network(seen.unsqueeze(1))
        for _ in range(settings.frames):
            if settings.memory:
                hidden, _ = network(seen[-settings.memory :].unsqueeze(1))
            chance = torch.rand(1, prime.shape[1], generator=generator)
            noise = settings.temperature * chance.logit(eps=1e-7)
            frame = network.output.draw(hidden[-1], noise)
            yield frame[0]
            seen = torch.cat([seen, frame])
            if not settings.memory:
                hidden, state = network(frame.unsqueeze(0), state)


def measured(roll: Tensor) -> dict[str, Any]:
    """What can be counted in a roll (frames, 88) of 0 and 1."""
    from elman.data.music import LOWEST

    keys = roll.nonzero()[:, 1].tolist()
    tones = [(key + LOWEST) % 12 for key in keys]
    scales = [sum((tone - tonic) % 12 in MAJOR for tone in tones) for tonic in range(12)]
    tonic = max(range(12), key=scales.__getitem__)
    same = (roll[1:] == roll[:-1]).all(-1).float().mean() if len(roll) > 1 else 0
    return {
        "notes": len(keys) / len(roll),
        "in_scale": max(scales) / len(keys) if keys else 0.0,
        "scale": TONES[tonic],
        "chords": len({tuple(frame) for frame in roll.int().tolist()}),
        "held": float(same),
    }


TONES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")


def memory(settings: Memory) -> Iterator[dict[str, object]]:  # noqa: ARG001 - it has none
    """The mean -ln p of a frame of the shipped chorales, by how many frames the network sees."""
    contexts = [*CONTEXTS, None]
    yield {
        "event": "memory",
        "contexts": list(CONTEXTS),
        "nll": [surprise(pieces(), context) for context in contexts],
        "longest": max(len(piece) for piece in pieces()),
    }


def surprise(rolls: Sequence[Tensor], context: int | None) -> float:
    """The mean -ln p of all frames but each piece's first, seen through so many frames."""
    import torch

    total, count = 0.0, 0
    for roll in rolls:
        hidden = _hidden(roll[:-1], context)
        with torch.no_grad():
            scores = model().network.output(hidden[1:], roll[2:])
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        total += float(loss(scores, roll[2:], reduction="sum"))
        count += len(roll) - 2
    return total / count


def _hidden(roll: Tensor, context: int | None) -> Tensor:
    """The state h after each frame (frames, H), of which the network has seen so many."""
    import torch

    network = model().network
    with torch.no_grad():
        if context is None:
            hidden: Tensor = network(roll.unsqueeze(1))[0][:, 0]
            return hidden
        lengths = torch.arange(1, len(roll) + 1).clamp(max=context)
        ends = torch.arange(len(roll))
        places = (ends - lengths + 1)[:, None] + torch.arange(context)
        windows = roll[places.clamp(max=len(roll) - 1)].transpose(0, 1)
        _, state = network(windows, lengths=lengths)
    last: Tensor = state[0][0]
    return last


LESSON = Lesson(
    slug="music",
    number=11,
    title="Music one can hear",
    minutes=5,
    question="How much of the past does a network need to go on with a chorale?",
    asks=(
        Ask(
            "music.compose",
            Compose,
            compose,
            tuple(
                {"temperature": temperature, "memory": frames, "seed": seed}
                for temperature in (0.3, 0.7, 0.8, 2.0)
                for frames in (0, 1)
                for seed in (0, 1)
            ),
        ),
        Ask("music.memory", Memory, memory, ({},)),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
