"""Trains one cell on one problem, on short strings, and measures it on longer ones."""

from __future__ import annotations

import time
from statistics import fmean
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from benchmarks.chomsky._problems import PROBLEMS, Strings
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells import by_name
from elman.layers import Recurrent

SHORTEST, TRAINED, LONGEST = 1, 40, 500
"""Training draws lengths from the first to the second, the test has all up to the third."""

GROUP = 20
"""Lengths in a group of the accuracy by length."""


class Budget(NamedTuple):
    """What every cell gets."""

    updates: int
    hidden: int = 256
    batch: int = 128
    lr: float = 1e-3
    clip: float = 1.0
    test_rows: int = 16


class Transducer(nn.Module):
    """A recurrent layer that reads a string and writes one, an empty symbol for each output.

    .. math:: y_k = W h_{T+k} + b, \\qquad h_{1..T+K} = \\mathrm{cell}(x_{1..T}, \\epsilon^K)

    Args:
        cell: its name in `elman.cells.CELLS`, also with a colon and a scheme of `elman.init`.
        symbols: of the input, to which the empty one is added.
        classes: of the output.
        hidden: units.

    Shapes: symbols (rows, length) and a number of outputs to scores (rows, outputs, classes).
    """

    def __init__(self, cell: str, symbols: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.symbols = symbols
        name, _, init = cell.partition(":")
        self.recurrent = Recurrent(
            by_name(name)(symbols + 1, hidden), batch_first=False, init=init or None
        )
        self.output = nn.Linear(self.recurrent.output_size, classes)

    def forward(self, symbols: Tensor, outputs: int) -> Tensor:
        empty = symbols.new_full((len(symbols), outputs), self.symbols)
        steps = torch.cat([symbols, empty], 1).t()
        states, _ = self.recurrent(F.one_hot(steps, self.symbols + 1).float())
        scores: Tensor = self.output(states[-outputs:])
        return scores.transpose(0, 1)


def scores(network: Transducer, strings: Strings) -> tuple[Tensor, Tensor]:
    """The scores of a batch, and its outputs."""
    outputs = torch.from_numpy(strings.outputs)
    return network(torch.from_numpy(strings.inputs), outputs.shape[1]), outputs


def accuracy(network: Transducer, strings: Strings) -> float:
    """The share of right outputs, among those that are counted."""
    with torch.no_grad():
        guesses, outputs = scores(network, strings)
    right = guesses.argmax(-1) == outputs
    return float(
        right.double().mean()
        if strings.counted is None
        else right[torch.from_numpy(strings.counted)].double().mean()
    )


def trained(problem: str, cell: str, seed: int, budget: Budget) -> dict[str, Any]:
    """Train, and measure: the score is the mean accuracy over the lengths beyond those trained on.

    References:
        Deletang et al. 2023, "Neural networks and the Chomsky hierarchy".
    """
    _, symbols, classes, sample = PROBLEMS[problem]
    torch.manual_seed(seed)
    draw = np.random.default_rng([seed, crc32(problem.encode())])
    network = Transducer(cell, symbols, classes, budget.hidden)
    optimizer = torch.optim.Adam(network.parameters(), lr=budget.lr)
    curve, losses, began = [], [], time.perf_counter()
    every = max(1, budget.updates // 20)
    for update in range(1, budget.updates + 1):
        strings = sample(draw, budget.batch, int(draw.integers(SHORTEST, TRAINED + 1)))
        guesses, outputs = scores(network, strings)
        loss = F.cross_entropy(guesses.flatten(0, 1), outputs.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), budget.clip)
        optimizer.step()
        losses.append(loss.item())
        if update % every == 0 or update == budget.updates:
            longest = accuracy(network, sample(draw, budget.batch, TRAINED))
            curve.append([update, round(fmean(losses), 4), round(longest, 4)])
            losses.clear()
    seconds = time.perf_counter() - began
    by_length = measured(network, problem, budget.test_rows)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "seconds": round(seconds, 1),
        "test_seconds": round(time.perf_counter() - began - seconds, 1),
        "curve": curve,
        "score": fmean(by_length),
        "by_length": [
            round(fmean(by_length[i : i + GROUP]), 4) for i in range(0, len(by_length), GROUP)
        ],
    }


def measured(network: Transducer, problem: str, rows: int) -> list[float]:
    """The accuracy at each length from `TRAINED` + 1 to `LONGEST`, on the same strings for all."""
    sample = PROBLEMS[problem].sample
    lengths = range(TRAINED + 1, LONGEST + 1)
    return [accuracy(network, sample(np.random.default_rng([n]), rows, n)) for n in lengths]
