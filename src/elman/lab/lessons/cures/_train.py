"""One network on one task: the loop of the lesson on cures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import elman
from elman.bptt import detach
from elman.clip import Clip, ClipByNorm, NoClip
from elman.data import records

STEPS, HIDDEN, BATCH = 30, 32, 64
ROWS, HELD_OUT = 6000, 500


class Pill(NamedTuple):
    """What is changed of the sick network: its cell, its activation, its first weights, its window.

    ``window`` is how many of the last steps the gradient flows back; None for all.
    """

    cell: str = "Elman"
    activation: str = "tanh"
    init: str = "torch"
    window: int | None = None


PILLS = {
    "none": Pill(),
    "relu": Pill(activation="relu"),
    "zero biases": Pill(init="glorot"),
    "orthogonal": Pill(init="orthogonal"),
    "identity": Pill(activation="relu", init="identity"),
    "window": Pill(window=10),
    "LSTM": Pill("LSTM"),
    "LSTM, chrono": Pill("LSTM", init="chrono"),
    "GRU": Pill("GRU"),
}


class Remembers(nn.Module):
    """Reads a sequence, and says one number at its end."""

    def __init__(self, pill: Pill, features: int) -> None:
        super().__init__()
        options = {"activation": pill.activation} if pill.cell == "Elman" else {}
        cell = getattr(elman.cells, pill.cell)(features, HIDDEN, **options)
        self.recurrent = elman.Recurrent(cell, init=pill.init)
        self.output = nn.Linear(HIDDEN, 1)
        self.window = pill.window

    def forward(self, x: Tensor) -> Tensor:
        """From (rows, steps, features) to (rows,)."""
        state = None
        if self.window is not None:  # the state is carried over the cut, the gradient is not
            _, state = self.recurrent(x[:, : -self.window])
            x, state = x[:, -self.window :], detach(state)
        _, state = self.recurrent(x, state)
        number: Tensor = self.output(state.h)[:, 0]
        return number


class Step(NamedTuple):
    """Where a training run is: the validation error, and the largest gradient norm since before."""

    update: int
    mse: float
    norm: float


def data(task: str, seed: int) -> tuple[Tensor, Tensor]:
    """Series (rows, steps, features) and what is to be said at their end (rows,)."""
    count = ROWS + HELD_OUT
    if task == "adding":
        made = records("adding", "regress", rows=count, steps=STEPS, seed=seed)
        rows = [row.values for row in made]
        stacked = np.stack([row["series"] for row in rows])
        return torch.from_numpy(stacked), torch.tensor([row["target"] for row in rows])
    first = torch.from_numpy(np.random.default_rng(seed).random(count)).float()
    series = torch.zeros(count, STEPS, 1)
    series[:, 0, 0] = first
    return series, first


def run(
    pill: Pill, task: str, *, rate: float, limit: float, updates: int, seed: int
) -> Iterator[Step]:
    """Train; a step every thirtieth update, until the loss is not finite any more."""
    torch.manual_seed(seed)
    x, y = data(task, seed)
    network = Remembers(pill, x.shape[-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    clip: Clip = ClipByNorm(limit) if limit else NoClip()
    largest = 0.0
    for update in range(updates + 1):
        if update % 30 == 0 or update == updates:
            with torch.no_grad():
                mse = float((network(x[ROWS:]) - y[ROWS:]).square().mean())
            yield Step(update, mse, largest)
            largest = 0.0
            if not np.isfinite(mse):
                return
        rows = torch.randint(ROWS, (BATCH,))
        optimizer.zero_grad()
        (network(x[rows]) - y[rows]).square().mean().backward()
        report = clip(network.parameters())
        largest = max(largest, float(report.norm))
        optimizer.step()
