"""Lesson 5: gradients that vanish and explode, and two sentences that need a short and a long one.

The networks of the sentences are the folders of three runs, without the rows that they were trained
on: 64 units, about 30,000 parameters each::

    elman train classify --preset recall --data.rows 12000 --train.max_steps 1500 \
        --train.threads 1 --train.seed 0 --model.cell gru
    ... --model.cell elman
    ... --model.cell lstm --model.init chrono
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path(__file__).parent
INPUTS, HIDDEN, ROWS = 4, 32, 16
HOLDS = 10.0
"""A gradient that changes by at most this factor over all steps neither vanishes nor explodes."""
FARTHEST = 10
"""Sentences between the country and the question; as many as in training."""
DRAWN = 2_000_000
"""Sentences of the lesson have seeds from here on; the networks were trained on those of seed 0."""
LIKELIEST = 5

Activation = Literal["tanh", "relu", "identity", "sigmoid"]
Network = Literal["tanh", "lstm", "gru"]
NETWORKS = {"tanh": "simple RNN, tanh", "lstm": "LSTM, open gates", "gru": "GRU"}


class Flowing(BaseModel):
    """A network with its first weights, and how far back its gradient is measured."""

    model_config = ConfigDict(extra="forbid")

    radius: float = Field(1.0, ge=0.2, le=2.0)
    activation: Activation = "tanh"
    steps: int = Field(50, ge=5, le=200)
    inputs: float = Field(0.1, ge=0.01, le=3)
    seed: int = Field(0, ge=0, le=9999)


class Derivative(BaseModel):
    """Which activation is drawn."""

    model_config = ConfigDict(extra="forbid")

    activation: Activation = "tanh"


class Recalled(BaseModel):
    """A sentence, and who reads it. Where there is nothing between, the sentence is a short one."""

    model_config = ConfigDict(extra="forbid")

    network: Network = "tanh"
    kind: Literal["clouds", "France"] = "France"
    between: int = Field(3, ge=0, le=FARTHEST)
    seed: int = Field(0, ge=0, le=999)


class Distance(BaseModel):
    """How many sentences the accuracy at each distance is measured on."""

    model_config = ConfigDict(extra="forbid")

    texts: int = Field(24, ge=4, le=64)
    seed: int = Field(0, ge=0, le=999)


def flow(asked: Flowing) -> Iterator[dict[str, object]]:
    """The gradient of the last step's loss by every state before it."""
    import torch

    import elman
    from elman.inspection import gradient_flow

    torch.manual_seed(asked.seed)
    cell = elman.cells.Elman(INPUTS, HIDDEN, activation=asked.activation)
    layer = elman.Recurrent(cell, init="orthogonal").double()
    with torch.no_grad():
        cell.weight_hh.mul_(asked.radius)
    x = asked.inputs * torch.randn(ROWS, asked.steps, INPUTS).double()
    measured = gradient_flow(layer, x, lambda h: h[:, -1].square().sum())
    norm = measured.norm[0]
    ratio = float(norm[0] / norm[-1])
    yield {
        "event": "flow",
        "gradient": norm.tolist(),
        "ratio": ratio,
        "half_life": float(measured.half_life.value[0]),
        "verdict": verdict(ratio),
    }


def verdict(ratio: float) -> str:
    """What a gradient does that changes by this factor from the last step back to the first."""
    if ratio < 1 / HOLDS:
        return "vanishes"
    return "explodes" if ratio > HOLDS else "holds"


def derivative(asked: Derivative) -> Iterator[dict[str, object]]:
    """The activation and its derivative by autograd."""
    import torch

    from elman.cells import Elman

    s_h = Elman(1, 1, activation=asked.activation).activation
    z = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)
    h = s_h(z)
    (slope,) = torch.autograd.grad(h.sum(), z)
    yield {
        "event": "derivative",
        "z": z.detach().tolist(),
        "h": h.detach().tolist(),
        "slope": slope.tolist(),
        "largest": float(slope.max()),
    }


@cache
def task(name: str) -> Any:
    """The trained task of this name."""
    from elman.training import load

    return load(FOLDER / name)


def texts(kind: str, between: int, count: int, seed: int) -> list[tuple[str, str]]:
    """Texts of the data set with so many sentences between, and their labels."""
    from elman.data import records

    wanted: list[tuple[str, str]] = []
    rows = records("recall", "classify", rows=10**6, steps=FARTHEST, seed=DRAWN + seed)
    for row in rows:
        text, label = row.values["text"], row.values["label"]
        short = not text.startswith("i grew up")
        if short if kind == "clouds" else not short and text.count(".") == between + 1:
            wanted.append((text, label))
            if len(wanted) == count:
                break
    return wanted


def recall(asked: Recalled) -> Iterator[dict[str, object]]:
    """The likeliest last words, and how much of the gradient reaches each word."""
    [(text, label)] = texts(asked.kind, asked.between, 1, asked.seed)
    reader = task(asked.network)
    [answer] = reader.answers([{"text": text}])
    likely = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:LIKELIEST]
    reach = per_word(reader, text, label)
    yield {
        "event": "recall",
        "words": text.split(),
        "gradient": reach.tolist(),
        "label": label,
        "right": answer["label"] == label,
        "probability": answer["probabilities"][label],
        "labels": [word for word, _ in likely],
        "probabilities": [p for _, p in likely],
    }


def per_word(reader: Any, text: str, label: str) -> Tensor:
    """The gradient of the score of the label by the memory at each word, of that at the last."""
    import torch

    from elman.inspection import gradient_flow

    columns = reader.batch_of(reader.input_rows([{"text": text}]), torch.tensor([0])).columns()
    x, lengths = reader.input.read(columns["x"], columns["x_lengths"])
    place = reader.labels.index(label)
    measured = gradient_flow(reader.network, x, lambda scores: scores[0, place], lengths=lengths)
    norm = measured.states.get("c", measured).norm[0]
    return norm / norm[-1]


def distance(asked: Distance) -> Iterator[dict[str, object]]:
    """How often each network is right, by the number of sentences between."""
    steps = list(range(FARTHEST + 1))
    made = [texts("France", between, asked.texts, asked.seed) for between in steps]
    for name, title in NETWORKS.items():
        answers = iter(task(name).answers([{"text": text} for rows in made for text, _ in rows]))
        right = [sum(next(answers)["label"] == label for _, label in rows) for rows in made]
        yield {
            "event": "distance",
            "network": name,
            "title": title,
            "between": steps,
            "accuracy": [count / asked.texts for count in right],
        }


LESSON = Lesson(
    slug="gradients",
    number=5,
    title="Vanishing and exploding gradients",
    minutes=9,
    question="By how much does a gradient shrink on its way back over 50 steps?",
    asks=(
        Ask(
            "gradients.flow",
            Flowing,
            flow,
            tuple(
                {"radius": r, "activation": s_h, "steps": steps, "inputs": inputs, "seed": 0}
                for r, s_h, steps, inputs in product(
                    (0.2, 0.5, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.5, 1.7, 2.0),
                    ("tanh", "relu", "identity", "sigmoid"),
                    (50, 100),
                    (0.1, 1.0),
                )
            ),
        ),
        Ask(
            "gradients.derivative",
            Derivative,
            derivative,
            tuple({"activation": name} for name in ("tanh", "relu", "identity", "sigmoid")),
        ),
        Ask(
            "gradients.recall",
            Recalled,
            recall,
            tuple(
                {"network": network, "kind": kind, "between": between, "seed": 0}
                for network in NETWORKS
                for kind, between in (*(("France", n) for n in range(FARTHEST + 1)), ("clouds", 0))
            ),
        ),
        Ask("gradients.distance", Distance, distance, ({"texts": 24, "seed": 0},)),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
