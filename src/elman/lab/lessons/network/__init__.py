"""Lesson 3: from the perceptron to the recurrent network, one edge and one state further."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from torch import Tensor, nn

FEATURES = 8
"""Numbers of a word in the measured problems."""
LONGEST = 32
"""Words up to which parameters are counted."""
FITS = 5
"""Words that the network which refuses was built for."""
PAST = 4
"""Frames of the two flights that end in one image."""

Activation = Literal["tanh", "relu", "identity", "sigmoid"]


class Problems(BaseModel):
    """How large the networks are whose parameters are counted."""

    model_config = ConfigDict(extra="forbid")

    hidden: int = Field(16, ge=1, le=128)


class Unit(BaseModel):
    """Every weight of a recurrent network with one unit, and the bits that it reads."""

    model_config = ConfigDict(extra="forbid")

    w_hx: float = Field(1.0, ge=-3, le=3)
    w_hh: float = Field(0.5, ge=-3, le=3)
    b_h: float = Field(0.0, ge=-3, le=3)
    w_yh: float = Field(1.0, ge=-3, le=3)
    b_y: float = Field(0.0, ge=-3, le=3)
    s_h: Activation = "tanh"
    s_y: Activation = "identity"
    bits: str = Field("1011000000", pattern="^[01]{1,16}$")


def problems(asked: Problems) -> Iterator[dict[str, object]]:
    """The three problems of the feed-forward network, measured."""
    import elman
    from elman.layers import FeedForward

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    lengths = list(range(1, LONGEST + 1))
    layer = elman.Recurrent(elman.cells.Elman(FEATURES, asked.hidden))
    yield {
        "event": "parameters",
        "words": lengths,
        "feedforward": [count(FeedForward(FEATURES, n, asked.hidden)) for n in lengths],
        "recurrent": [count(layer) for _ in lengths],
    }
    yield {"event": "refusal", **refused(asked.hidden)}
    yield {"event": "pasts", **two_pasts()}


def refused(hidden: int) -> dict[str, object]:
    """What each network says of a sentence that is one word longer than the one before it."""
    import torch
    from torch import nn

    import elman

    perceptron = nn.Sequential(nn.Flatten(), nn.Linear(FITS * FEATURES, hidden), nn.Tanh())
    layer = elman.Recurrent(elman.cells.Elman(FEATURES, hidden))
    longer = torch.randn(1, FITS + 1, FEATURES)
    message = ""
    try:
        perceptron(longer)
    except RuntimeError as error:  # torch's own words, for the lesson to show
        message = str(error)
    return {
        "words": FITS + 1,
        "fits": FITS,
        "message": message,
        "recurrent": list(layer(longer)[0].shape),
    }


def two_pasts() -> dict[str, object]:
    """Two flights, from the left and from the right, whose last image is the same.

    The networks are those of the first lesson.
    """
    import numpy as np
    import torch

    from elman.data import Box, render
    from elman.lab.lessons.ball import NETWORKS, expected, pairs

    back = np.arange(PAST - 1, -1, -1)
    height = 0.6 - 0.003 * back**2
    flights = np.stack([np.stack([0.5 + s * 0.05 * back, height], -1) for s in (-1, 1)], 1)
    films = [render(flights[:, flight, None], Box()) for flight in (0, 1)]
    frames = torch.from_numpy(np.stack(films, 1)).float()
    places = {name: expected(name, frames, 1)[0] for name in NETWORKS}
    return {
        "flights": [pairs(torch.from_numpy(flights[:, flight])) for flight in (0, 1)],
        "expected": {name: pairs(place) for name, place in places.items()},
        "apart": {name: float((p[0] - p[1]).norm()) for name, p in places.items()},
        "same_image": bool(torch.equal(frames[-1, 0], frames[-1, 1])),
    }


def step(asked: Unit) -> Iterator[dict[str, object]]:
    """The bits, step by step, through a network of one unit."""
    import torch

    from elman.cells import Elman

    s_h, s_y = (Elman(1, 1, activation=name).activation for name in (asked.s_h, asked.s_y))
    net_inputs: list[Tensor] = []

    def noted(z: Tensor) -> Tensor:
        """The activation, which also notes its net input."""
        net_inputs.append(z)
        return s_h(z)

    cell = Elman(1, 1, activation=noted)
    state_dict, output = weights(asked)
    cell.load_state_dict(state_dict)
    state, rows = cell.initial_state(1), []
    with torch.no_grad():
        for bit in map(float, asked.bits):
            before = state.h.item()
            state = cell.step(cell.project(torch.tensor([[bit]])), state)
            rows.append(
                {
                    "x": bit,
                    "input": asked.w_hx * bit,
                    "recurrent": asked.w_hh * before,
                    "z": net_inputs[-1].item(),
                    "h": state.h.item(),
                    "y": s_y(output(state.h)).item(),
                }
            )
    yield {"event": "steps", "steps": rows}


def weights(asked: Unit) -> tuple[dict[str, Tensor], nn.Linear]:
    """The state of the cell with these weights, and the output layer W_yh h + b_y."""
    import torch
    from torch import nn

    values = {
        "weight_ih": [[asked.w_hx]],
        "weight_hh": [[asked.w_hh]],
        "bias_ih": [asked.b_h],
        "bias_hh": [0.0],
    }
    output = nn.Linear(1, 1)
    output.load_state_dict(
        {"weight": torch.tensor([[asked.w_yh]]), "bias": torch.tensor([asked.b_y])}
    )
    return {name: torch.tensor(value) for name, value in values.items()}, output


GRID = tuple(
    {**Unit().model_dump(), "w_hx": w_hx, "w_hh": w_hh, "s_h": s_h, "bits": bits}
    for w_hx, w_hh, s_h, bits in product(
        (0.5, 1.0, 2.0),
        (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0),
        ("tanh", "identity"),
        ("1011000000", "1000000000"),
    )
)

LESSON = Lesson(
    slug="network",
    number=3,
    title="From perceptron to recurrent network",
    minutes=7,
    question="What does a perceptron need to remember the word before?",
    asks=(
        Ask("network.problems", Problems, problems, ({"hidden": 16},)),
        Ask("network.step", Unit, step, GRID),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
