"""Lesson 8: the order of words, sentences of several lengths, and sentiment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

MOST_WORDS = 30

PAIR = ("The food was good, not bad at all.", "The food was bad, not good at all.")

LENGTHS = (
    "The food was great",
    "We visited a restaurant for lunch",
    "We were hungry but cleaned the house before eating",
)
"""The lecture's sentences of several lengths."""

CELL = Literal["rnn", "lstm", "gru"]


class Training(BaseModel, extra="forbid"):
    """Which network learns beside the bag of words."""

    cell: CELL = "gru"
    seed: int = Field(0, ge=0, le=2**31 - 1)


class Reading(BaseModel, extra="forbid"):
    """A sentence to judge."""

    text: str = Field(PAIR[0], min_length=1, max_length=200)
    cell: CELL = "gru"
    seed: int = Field(0, ge=0, le=2**31 - 1)

    @field_validator("text")
    @classmethod
    def _not_too_long(cls, text: str) -> str:
        words = len(text.split())
        if not 1 <= words <= MOST_WORDS:
            raise ValueError(f"text must have 1 to {MOST_WORDS} words, got {words}")
        return text


class Padding(BaseModel, extra="forbid"):
    """What stands in the padding of a batch, and whether the layer is told the lengths."""

    padding: Literal["0", "1000", "nan"] = "0"
    lengths: bool = True
    cell: CELL = "gru"
    seed: int = Field(0, ge=0, le=2**31 - 1)


def train(settings: Training) -> Iterator[dict[str, object]]:
    """The losses of both models, and what they make of pairs of words that they never saw."""
    from elman.lab.lessons.order._reader import trained

    models = trained(settings.cell, settings.seed)
    updates, network, bag = zip(*models.losses, strict=True)
    yield {
        "event": "trained",
        "updates": list(updates),
        "network": list(network),
        "bag": list(bag),
        "accuracy": {"network": models.accuracies[0], "bag": models.accuracies[1]},
    }


def read(settings: Reading) -> Iterator[dict[str, object]]:
    """What both models say of a sentence: the network word by word, the bag by its weights."""
    import torch

    from elman.lab.lessons.order._reader import trained

    models = trained(settings.cell, settings.seed)
    tokens = torch.tensor(models.vocabulary.encode(settings.text))
    with torch.no_grad():
        after, _ = models.network.as_read(tokens)
        bag = models.bag(tokens[None], torch.tensor([len(tokens)])).sigmoid()
        weights = models.bag.weight[tokens]
    yield {
        "event": "read",
        "tokens": [models.vocabulary.token(index) for index in tokens.tolist()],
        "unknown": models.vocabulary.unknown(settings.text),
        "after": after.tolist(),
        "weights": weights.tolist(),
        "network": float(after[-1]),
        "bag": float(bag),
    }


def pad(settings: Padding) -> Iterator[dict[str, object]]:
    """Three sentences in one batch, with the padding scribbled over; and each of them alone."""
    import torch

    from elman import Recurrent
    from elman.data import Vocabulary
    from elman.lab.lessons.order._reader import CELLS
    from elman.nn import Embedding
    from elman.scan import mask

    vocabulary = Vocabulary.train(LENGTHS, lowercase=True)
    sentences = [torch.tensor(vocabulary.encode(text)) for text in LENGTHS]
    lengths = torch.tensor([len(each) for each in sentences])
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(settings.seed)
        embedding = Embedding(len(vocabulary), 8)
        layer = Recurrent(CELLS[settings.cell](8, 16), engine="reference")
    x = torch.full((len(sentences), int(lengths.max()), 8), float(settings.padding))
    with torch.no_grad():
        alone = [layer(embedding(each[None])) for each in sentences]
        for row, each in enumerate(sentences):
            x[row, : len(each)] = embedding(each)
        given = lengths if settings.lengths else None
        output, state = layer(x, lengths=given)
        blank, _ = layer(torch.where(mask(lengths, x.shape[1])[..., None], x, 0), lengths=given)
    moved = [float((h - one[1][0][0]).abs().max()) for h, one in zip(state[0], alone, strict=True)]
    yield {
        "event": "padded",
        "sentences": list(LENGTHS),
        "lengths": lengths.tolist(),
        "norms": [_finite(row) for row in output.norm(dim=-1).tolist()],
        "moved": _finite(moved),
        "same": bool(torch.equal(output, blank)),
    }


def _finite(values: list[float]) -> list[float | None]:
    return [value if abs(value) < float("inf") else None for value in values]


SHOWN = (
    *PAIR,
    "The food was not bad but good.",
    "The food was not good but bad.",
    "The soup was never cold.",
    "Our waiter was rude, not kind.",
    "Our waiter was kind, not rude.",
)
"""Sentences that an export has."""

LESSON = Lesson(
    slug="order",
    number=8,
    title="Order, lengths and sentiment",
    minutes=5,
    question="Can a model that only counts words tell these two sentences apart?",
    asks=(
        Ask(
            "order.train", Training, train, tuple({"cell": cell} for cell in ("rnn", "lstm", "gru"))
        ),
        Ask(
            "order.read",
            Reading,
            read,
            tuple(
                {"text": text, "cell": cell} for text in SHOWN for cell in ("rnn", "lstm", "gru")
            ),
        ),
        Ask(
            "order.padding",
            Padding,
            pad,
            tuple(
                {"padding": padding, "lengths": lengths, "cell": "gru"}
                for padding in ("0", "1000", "nan")
                for lengths in (True, False)
            ),
        ),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
