"""Lesson 6: the cures of vanishing and exploding gradients, each with its effect measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from torch import Tensor

Cure = Literal[
    "none",
    "relu",
    "zero biases",
    "orthogonal",
    "identity",
    "window",
    "LSTM",
    "LSTM, chrono",
    "GRU",
]
CURES: tuple[Cure, ...] = (
    "none",
    "relu",
    "zero biases",
    "orthogonal",
    "identity",
    "window",
    "LSTM",
    "LSTM, chrono",
    "GRU",
)

LONG = 100
"""The steps of the lecture's example of truncation."""
KEPT = (1, 2, 5, 10, 20, 50, 100)
CLIFF_STEPS, BIAS, START, TARGET = 20, -2.5, 0.5, 0.7
LOW, HIGH = 3.0, 8.0


class Training(BaseModel):
    """Which cure is tried on which task."""

    model_config = ConfigDict(extra="forbid")

    cure: Cure = "none"
    task: Literal["adding", "first"] = "adding"
    rate: float = Field(0.01, ge=0.0001, le=10)
    clip: float = Field(1.0, ge=0, le=100)
    updates: int = Field(900, ge=30, le=1500)
    seed: int = Field(0, ge=0, le=9999)


class Cliff(BaseModel):
    """Where a descent begins, its rate, and the limit of its gradient."""

    model_config = ConfigDict(extra="forbid")

    w: float = Field(6.0, ge=LOW, le=HIGH)
    descent_rate: float = Field(1.0, ge=0.01, le=10)
    limit: float = Field(0.1, ge=0.01, le=10)


class Windows(BaseModel):
    """Over how many of the last steps the gradient flows back, in which network."""

    model_config = ConfigDict(extra="forbid")

    network: Literal["tanh", "orthogonal", "LSTM, chrono"] = "tanh"
    kept: int = Field(20, ge=1, le=LONG)
    seed: int = Field(0, ge=0, le=9999)


def train(asked: Training) -> Iterator[dict[str, object]]:
    """Train with this cure, and say how the error falls."""
    from elman.lab.lessons.cures._train import PILLS, run

    steps = run(
        PILLS[asked.cure],
        asked.task,
        rate=asked.rate,
        limit=asked.clip,
        updates=asked.updates,
        seed=asked.seed,
    )
    last = None
    for last in steps:
        yield {"event": "curve", "update": last.update, "mse": last.mse, "norm": last.norm}
    assert last is not None
    yield {
        "event": "result",
        "mse": last.mse,
        "update": last.update,
        "diverged": not math.isfinite(last.mse) or last.mse > 100,
    }


def cliff(asked: Cliff) -> Iterator[dict[str, object]]:
    r"""The loss by the weight of one unit, and two descents on it: free, and with its norm clipped.

    .. math:: h_t = \sigma(w h_{t-1} + b), \\qquad L = (h_{20} - 0.7)^2
    """
    import torch

    from elman.clip import ClipByNorm, NoClip

    grid = torch.linspace(LOW, HIGH, 201, dtype=torch.float64)
    yield {"event": "surface", "w": grid.tolist(), "loss": cliff_loss(grid).tolist()}
    for name, clip in (("free", NoClip()), ("clipped", ClipByNorm(asked.limit))):
        w = torch.nn.Parameter(torch.tensor([asked.w], dtype=torch.float64))
        optimizer = torch.optim.SGD([w], lr=asked.descent_rate)
        places, losses, norms = [], [], []
        for _ in range(40):
            optimizer.zero_grad()
            loss = cliff_loss(w).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            report = clip([w])
            places.append(w.item())
            losses.append(loss.item())
            norms.append(float(report.norm))
            optimizer.step()
        yield {"event": "descent", "name": name, "w": places, "loss": losses, "norm": norms}


def cliff_loss(w: Tensor) -> Tensor:
    """The loss of as many networks of one unit as there are weights, side by side."""
    import torch
    from torch.func import functional_call

    import elman

    cell = elman.cells.Elman(1, len(w), activation="sigmoid").double()
    layer = elman.Recurrent(cell, engine="reference")
    zeros = torch.zeros_like(w)
    weights = {
        "cell.weight_ih": zeros[:, None],
        "cell.weight_hh": torch.diag(w),
        "cell.bias_ih": zeros + BIAS,
        "cell.bias_hh": zeros,
    }
    start = cell.State(h=zeros[None] + START)
    x = torch.zeros(1, CLIFF_STEPS, 1, dtype=w.dtype)
    _, state = functional_call(layer, weights, (x, start))
    loss: Tensor = (state.h[0] - TARGET).square()
    return loss


def windows(asked: Windows) -> Iterator[dict[str, object]]:
    """T = 100 with only the last steps: the gradient that is kept, and how far it is from all."""
    import torch

    import elman
    from elman.bptt import TruncatedBPTT
    from elman.inspection import gradient_flow, truncation_bias

    torch.manual_seed(asked.seed)
    lstm = asked.network.startswith("LSTM")
    cell: Any = elman.cells.LSTM(2, 32) if lstm else elman.cells.Elman(2, 32)
    init = {"tanh": "torch", "orthogonal": "orthogonal", "LSTM, chrono": "chrono"}[asked.network]
    layer = elman.Recurrent(cell, init=init).double()
    x = 0.1 * torch.randn(8, LONG, 2).double()

    def loss(h: Tensor) -> Tensor:
        return h[:, -1].square().sum()

    flow = gradient_flow(layer, x, loss)
    norm = flow.states["c" if lstm else "h"].norm[0]
    kept = [None] * (LONG - asked.kept) + norm[LONG - asked.kept :].tolist()
    yield {"event": "flow", "gradient": norm.tolist(), "kept": kept}
    bias = truncation_bias(layer, x, loss, k2=sorted({*KEPT, asked.kept}))
    chosen = bias.k2.tolist().index(asked.kept)
    yield {
        "event": "bias",
        "kept": bias.k2.tolist(),
        "bias": bias.bias.tolist(),
        "cosine": bias.cosine.tolist(),
        "chosen_bias": float(bias.bias[chosen]),
        "chosen_cosine": float(bias.cosine[chosen]),
        "windows": spans(TruncatedBPTT(asked.kept).windows(LONG)),
    }


def spans(cut: Iterator[Any]) -> Sequence[list[int]]:
    """The first and the last step of each window, counted from 1."""
    return [[window.start + 1, window.stop] for window in cut]


LESSON = Lesson(
    slug="cures",
    number=6,
    title="The cures",
    minutes=10,
    question="Which cure makes a simple network learn to add two numbers 30 steps apart?",
    asks=(
        Ask(
            "cures.train",
            Training,
            train,
            (
                *(
                    {"cure": cure, "task": task, "rate": 0.01, "clip": 1.0, "seed": 0}
                    for task, cure in product(("adding", "first"), CURES)
                ),
                {"cure": "relu", "task": "adding", "rate": 3.0, "clip": 0.0, "seed": 0},
            ),
        ),
        Ask(
            "cures.cliff",
            Cliff,
            cliff,
            tuple(
                {"w": w, "limit": limit, "descent_rate": 1.0}
                for w, limit in product((5.5, 6.0, 6.5, 7.0), (0.05, 0.1, 1.0))
            ),
        ),
        Ask(
            "cures.windows",
            Windows,
            windows,
            tuple(
                {"network": network, "kept": kept, "seed": 0}
                for network, kept in product(("tanh", "orthogonal", "LSTM, chrono"), KEPT)
            ),
        ),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
