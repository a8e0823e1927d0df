"""Lesson 2: five shapes of sequence, each learned live, and four design criteria, each measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = Literal["one-to-one", "one-to-many", "many-to-one", "many-to-many", "translation"]
Kind = Literal["feedforward", "bag", "recurrent"]

FITS = 6
"""The words of a sentence that the feed-forward network was built for."""
LENGTHS = range(2, 13)
"""Words of the sentences that a network is tried on."""
FEATURES, HIDDEN = 8, 16


class ShapeRun(BaseModel):
    """Which shape is learned, and for how long."""

    model_config = ConfigDict(extra="forbid")

    shape: Shape = "many-to-one"
    updates: int = Field(300, ge=20, le=600)
    seed: int = Field(0, ge=0, le=9999)


class Criteria(BaseModel):
    """Which network is asked to read a sentence of how many words."""

    model_config = ConfigDict(extra="forbid")

    network: Kind = "feedforward"
    words: int = Field(6, ge=2, le=12)


def learn(asked: ShapeRun) -> Iterator[dict[str, object]]:
    """Train a small network of this shape, and let it answer rows that it has not seen."""
    import numpy as np
    import torch

    from elman.lab.lessons.shapes._examples import EXAMPLES
    from elman.lab.lessons.shapes._network import Codes, Shaped, loss

    torch.manual_seed(asked.seed)
    draw = np.random.default_rng(asked.seed)
    example = EXAMPLES[asked.shape](draw)
    codes = Codes(example)
    rows = codes.rows(example)
    order = torch.from_numpy(draw.permutation(len(rows.x)))
    new, seen = order[: len(order) // 5], order[len(order) // 5 :]
    network = Shaped(asked.shape, rows.x.shape[-1], len(codes.output))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    yield {
        "event": "start",
        "parameters": sum(p.numel() for p in network.parameters()),
        "seen": len(seen),
        "new": len(new),
    }
    for update in range(1, asked.updates + 1):
        batch = rows.pick(seen[torch.randint(len(seen), (64,))])
        optimizer.zero_grad()
        nats = loss(network, batch)
        nats.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if update % 10 == 0 or update == 1:
            yield {"event": "curve", "update": update, "loss": float(nats.detach())}
    held_out = rows.pick(new)
    with torch.no_grad():
        answers = network.answer(held_out)
    written = [codes.written(row) for row in answers.tolist()]
    wanted = [list(example.written[i]) for i in new.tolist()]
    right = [ours == theirs for ours, theirs in zip(written, wanted, strict=True)]
    yield {
        "event": "answers",
        "accuracy": sum(right) / len(right),
        "rows": [
            {
                "read": list(example.read[i]),
                "pixels": _pixels(example.images, i),
                "written": written[row],
                "wanted": wanted[row],
            }
            for row, i in enumerate(new.tolist()[:4])
        ],
    }


def _pixels(images: Tensor | None, row: int) -> list[list[float]] | None:
    """An image of 20 x 20, row by row, if images are read."""
    if images is None:
        return None
    lines: list[list[float]] = (images[row].view(20, 20) * 100).round().div(100).tolist()
    return lines


class Network(NamedTuple):
    """A way from a sentence (words, features) to numbers, and its parameters for so many words."""

    read: Callable[[Tensor], Tensor]
    parameters: Callable[[int], int]


def built(kind: Kind) -> Network:
    """The network of this kind; the feed-forward one is built for sentences of six words."""
    import torch
    from torch import nn

    import elman

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    def perceptron(inputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.Tanh())

    torch.manual_seed(0)
    match kind:
        case "feedforward":
            network = perceptron(FITS * FEATURES)
            return Network(
                lambda x: network(x.reshape(1, -1))[0], lambda n: count(perceptron(n * FEATURES))
            )
        case "bag":
            bag = perceptron(FEATURES)
            return Network(lambda x: bag(x.sum(0)), lambda _: count(bag))
        case "recurrent":
            layer = elman.Recurrent(elman.cells.Elman(FEATURES, HIDDEN), init="orthogonal")
            return Network(lambda x: layer(x[None])[1].h[0], lambda _: count(layer))


def criteria(settings: Criteria) -> Iterator[dict[str, object]]:
    """The four criteria, each measured on a network with its first weights.

    Lengths are tried from 2 words to 12, and the first of 12 words is replaced: what a criterion
    says of a network does not depend on the sentence that is asked for. Words change places in that
    sentence, or, where it is refused, in one that the network was built for.
    """
    network = built(settings.network)
    refused = {words: refusal(network, words) for words in LENGTHS}
    sizes = [network.parameters(words) for words in LENGTHS]
    swapped = FITS if refused[settings.words] else settings.words
    last = LENGTHS[-1]
    yield {
        "event": "criteria",
        "network": settings.network,
        "words": settings.words,
        "refusal": refused[settings.words],
        "taken": [words for words, why in refused.items() if why is None],
        "first_word": None if refused[last] else change(network, last, replaced),
        "order": change(network, swapped, exchanged),
        "order_words": swapped,
        "parameters": sizes,
        "shared": len(set(sizes)) == 1,
    }


def sentence_of(words: int) -> Tensor:
    """A sentence of so many words (words, features), as numbers."""
    import torch

    return torch.randn(words, FEATURES, generator=torch.Generator().manual_seed(words))


def refusal(network: Network, words: int) -> str | None:
    """What torch says where the network cannot read so many words, in its own words."""
    try:
        network.read(sentence_of(words))
    except RuntimeError as error:
        return str(error)
    return None


def replaced(sentence: Tensor) -> Tensor:
    """The sentence with another first word."""
    import torch

    return torch.cat([sentence_of(1), sentence[1:]])


def exchanged(sentence: Tensor) -> Tensor:
    """The sentence with its first two words in each other's place."""
    import torch

    return torch.cat([sentence[1:2], sentence[:1], sentence[2:]])


def change(network: Network, words: int, other: Callable[[Tensor], Tensor]) -> float:
    """How far the output moves with the sentence, relative to the output."""
    import torch

    with torch.no_grad():
        sentence = sentence_of(words)
        output = network.read(sentence)
        return float((network.read(other(sentence)) - output).norm() / output.norm())


LESSON = Lesson(
    slug="shapes",
    number=2,
    title="Five shapes, four criteria",
    minutes=6,
    question="Which of the four design criteria does a feed-forward network meet?",
    asks=(
        Ask(
            "shapes.learn",
            ShapeRun,
            learn,
            tuple(
                {"shape": shape, "updates": 300, "seed": 0}
                for shape in (
                    "one-to-one",
                    "one-to-many",
                    "many-to-one",
                    "many-to-many",
                    "translation",
                )
            ),
        ),
        Ask(
            "shapes.criteria",
            Criteria,
            criteria,
            tuple(
                {"network": network, "words": words}
                for network in ("feedforward", "bag", "recurrent")
                for words in LENGTHS
            ),
        ),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
