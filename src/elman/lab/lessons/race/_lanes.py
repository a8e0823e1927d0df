"""Three networks of equal size on one task, trained side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman import Recurrent, cells, data
from elman.clip import ClipByNorm
from elman.data import Vocabulary
from elman.nn import OneHot

CELLS = {"rnn": cells.Elman, "lstm": cells.LSTM, "gru": cells.GRU}
TRAIN, VALID, BATCH, LAPS = 3000, 300, 32, 20
POST, NEAR = 0.95, 0.02
"""The race is won by who is first at this accuracy, or below this mean squared error."""


class Problem(NamedTuple):
    """Rows of one length in time, or with lengths, and what is to be said.

    Attributes:
        x, lengths, y: inputs (row, time, features) or tokens (row, time); the length of each row;
            labels (row,) or (row, time), or numbers (row,).
        tokens: how many different tokens x has; 0 if x holds numbers.
        outputs: the classes, or 1 where a number is asked for.
        every: whether each step is answered, and not only the last.
    """

    x: Tensor
    lengths: Tensor
    y: Tensor
    tokens: int
    outputs: int
    every: bool = False

    @property
    def is_number(self) -> bool:
        return self.y.is_floating_point()

    def rows(self, which: Any) -> Problem:
        return self._replace(x=self.x[which], lengths=self.lengths[which], y=self.y[which])


def problem(task: str, distance: int, seed: int) -> Problem:
    """The rows of a generated data set of elman, the last of them for validation."""
    name, kind, scale, read = _READERS[task]
    made = data.records(name, kind, rows=TRAIN + VALID, steps=scale * distance, seed=seed)
    rows = [record.values for record in made]
    return read(rows)


def _texts(rows: list[Mapping[str, Any]]) -> Problem:
    words = Vocabulary.train(row["text"] for row in rows)
    x, lengths = _padded([torch.tensor(words.encode(row["text"])) for row in rows])
    names = sorted({row["label"] for row in rows})
    y = torch.tensor([names.index(row["label"]) for row in rows])
    return Problem(x, lengths, y, len(words), len(names))


def _echoes(rows: list[Mapping[str, Any]]) -> Problem:
    x, lengths = _padded([torch.tensor([int(bit) for bit in row["tokens"]]) for row in rows])
    y = torch.tensor([[int(bit) for bit in row["tags"]] for row in rows])
    return Problem(x, lengths, y, 2, 2, every=True)


def _numbers(rows: list[Mapping[str, Any]]) -> Problem:
    x, lengths = _padded([torch.from_numpy(row["series"]) for row in rows])
    return Problem(x, lengths, torch.tensor([row["target"] for row in rows]), 0, 1)


def _bits(rows: list[Mapping[str, Any]]) -> Problem:
    x, lengths = _padded([torch.from_numpy(row["series"]) for row in rows])
    y = torch.tensor([int(row["label"] == "odd") for row in rows])
    return Problem(x, lengths, y, 0, 2)


def _padded(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths


_READERS: Mapping[str, tuple[str, str, int, Callable[[Any], Problem]]] = {
    "recall": ("recall", "classify", 1, _texts),
    "echo": ("delayed-echo", "tag", 1, _echoes),
    "adding": ("adding", "regress", 5, _numbers),
    "parity": ("parity", "classify", 2, _bits),
}
"""The data set and its task, its steps for a distance of 1, and how its rows are read."""


class Network(nn.Module):
    """One-hot vectors or numbers, one recurrent layer, and a linear layer on its states."""

    def __init__(self, cell: str, hidden: int, of: Problem) -> None:
        super().__init__()
        size = of.tokens or of.x.shape[-1]
        self.first = OneHot(size) if of.tokens else nn.Identity()
        self.recurrent = Recurrent(CELLS[cell](size, hidden))
        self.output = nn.Linear(hidden, of.outputs)

    def forward(self, of: Problem) -> Tensor:
        output, state = self.recurrent(self.first(of.x), lengths=of.lengths)
        scores: Tensor = self.output(output if of.every else state[0])
        return scores.squeeze(-1) if of.is_number else scores

    def loss(self, of: Problem) -> Tensor:
        scores = self(of)
        if of.is_number:
            return F.mse_loss(scores, of.y)
        return F.cross_entropy(scores.flatten(0, -2), of.y.flatten())

    @torch.no_grad()
    def score(self, of: Problem) -> float:
        """The accuracy; or the mean squared error, where a number is asked for."""
        scores = self(of)
        if of.is_number:
            return float(F.mse_loss(scores, of.y))
        return float((scores.argmax(-1) == of.y).float().mean())


def parameters(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def equal_sizes(units: int, of: Problem) -> dict[str, int]:
    """The hidden sizes with as many parameters as a GRU of so many units, as near as there is."""
    target = parameters(Network("gru", units, of))

    def apart(cell: str, hidden: int) -> int:
        return abs(parameters(Network(cell, hidden, of)) - target)

    return {cell: min(range(1, 4 * units), key=partial(apart, cell)) for cell in CELLS}


def race(
    task: str, *, distance: int, units: int, updates: int, rate: float, seed: int
) -> Iterator[dict[str, Any]]:
    """Trains the three in turns, on the same rows, and says how each does as it goes."""
    of = problem(task, distance, seed)
    train, valid = of.rows(slice(TRAIN)), of.rows(slice(TRAIN, None))
    sizes = equal_sizes(units, of)
    networks = {}
    for cell, hidden in sizes.items():
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            networks[cell] = Network(cell, hidden, of)
    yield {
        "event": "start",
        "units": sizes,
        "parameters": {cell: parameters(network) for cell, network in networks.items()},
        "guess": _guess(valid),
        "measure": "mean squared error" if of.is_number else "accuracy",
    }
    laps = []
    for update in _training(networks, train, updates, rate, seed):
        if update % max(1, updates // LAPS) == 0:
            laps.append((update, {c: network.score(valid) for c, network in networks.items()}))
            yield {"event": "lap", "update": update, "scores": laps[-1][1]}
    yield {"event": "result", **result(laps, smaller_is_better=of.is_number)}


def _training(
    networks: Mapping[str, Network], train: Problem, updates: int, rate: float, seed: int
) -> Iterator[int]:
    """One update of each network after the other, all on the same rows."""
    optimizers = {c: torch.optim.Adam(each.parameters(), rate) for c, each in networks.items()}
    generator, clip = torch.Generator().manual_seed(seed), ClipByNorm(1.0)
    for update in range(1, updates + 1):
        batch = train.rows(torch.randint(TRAIN, (BATCH,), generator=generator))
        for cell, network in networks.items():
            optimizers[cell].zero_grad()
            network.loss(batch).backward()  # type: ignore[no-untyped-call]
            clip(network.parameters())
            optimizers[cell].step()
        yield update


def result(
    laps: Sequence[tuple[int, Mapping[str, float]]], *, smaller_is_better: bool
) -> dict[str, Any]:
    """Who was first past the post, with the better score if two were; else who ends best.

    >>> laps = [(10, {"rnn": 0.96, "gru": 0.97}), (20, {"rnn": 1.0, "gru": 0.99})]
    >>> result(laps, smaller_is_better=False)
    {'first': {'rnn': 10, 'gru': 10}, 'final': {'rnn': 1.0, 'gru': 0.99}, 'winner': 'gru'}
    """
    sign = -1 if smaller_is_better else 1
    post = -NEAR if smaller_is_better else POST
    first = {
        cell: next((update for update, scores in laps if sign * scores[cell] >= post), None)
        for cell in laps[-1][1]
    }
    past = [update for update in first.values() if update is not None]
    scores = next(scores for update, scores in laps if not past or update == min(past))
    scores = scores if past else laps[-1][1]
    running = [cell for cell in first if not past or first[cell] == min(past)]
    winner = max(running, key=lambda cell: sign * scores[cell])
    return {"first": first, "final": dict(laps[-1][1]), "winner": winner}


def _guess(valid: Problem) -> float:
    """What the best constant answer comes to."""
    if valid.is_number:
        return float(valid.y.var(correction=0))
    return float(valid.y.flatten().bincount().max() / valid.y.numel())
