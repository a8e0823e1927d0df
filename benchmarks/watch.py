"""What `elman train --watch` costs: the same updates with the watch and without, taking turns.

    python -m benchmarks.watch [--threads 2] [--rounds 5] [--json FILE]

Each setting is trained twice in one process, on made-up data of the shapes of a task, in turns of
one watch interval (its default). A turn's time is all that happens in it, the look and its line in
metrics.jsonl included. Both runs must end in the same weights, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.speed._machine import environment
from torch import Tensor, nn

from elman.bptt import State
from elman.cells import by_name
from elman.data import Vocabulary
from elman.layers import Recurrent
from elman.tasks import Task
from elman.tasks._language import LanguageModel
from elman.training import Run, TrainConfig, config_class
from elman.training._config import FORMAT
from elman.training._loop import Trainer

WORDS = 10_000
EVERY = TrainConfig.model_fields["watch_every"].default


class Rows:
    """Ragged rows of numbers, each with one to be learned."""

    steps, continues = 1, False

    def __init__(self, rows: int, steps: int, inputs: int) -> None:
        self.rows = rows
        self.x, self.y = torch.randn(rows, steps, inputs), torch.randn(rows, 1)
        self.lengths = torch.randint(steps // 4, steps + 1, (rows,))

    def count(self, start: int, stop: int) -> int:
        return self.rows


class Sequences(Task):
    """A number for each row, as `regress` and `classify` learn it."""

    splits = ("train",)

    def __init__(self, cell: str, shape: tuple[int, int, int, int]) -> None:
        rows, steps, inputs, self.units = shape
        self.cell, self.batch = cell, Rows(rows, steps, inputs)

    def build(self) -> nn.Module:
        layer = Recurrent(by_name(self.cell)(self.batch.x.shape[-1], self.units))
        return nn.ModuleList([layer, nn.Linear(self.units, 1)])

    def batches(self, split: str, epoch: int = 0) -> list[Rows]:
        return [self.batch] * (100 * EVERY)

    def loss(
        self, batch: Rows, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        layer, output = self.network
        _, final = layer(batch.x, lengths=batch.lengths)
        return (output(final[0]) - batch.y).square().sum(), None


def language(updates: int, **model: Any) -> tuple[LanguageModel, Any]:
    unused = Path(tempfile.mkdtemp(), "unused.txt")
    settings = {"data": {"train": [unused]}, "model": model, "train": {"max_steps": updates}}
    config = config_class("language").parse(settings)
    vocabulary = Vocabulary.train([" ".join(f"w{i}" for i in range(WORDS - 1))])
    shares = 1 / np.arange(1, WORDS + 1)
    count = (updates + 4) * config.train.k1 * config.data.lanes
    words = np.random.default_rng(0).choice(WORDS, count, p=shares / shares.sum())
    return LanguageModel(vocabulary, {"train": words}, config.data, config.model), config.train


def sequences(updates: int, cell: str, *shape: int) -> tuple[Task, Any]:
    torch.manual_seed(0)
    return Sequences(cell, shape), TrainConfig.parse({"max_steps": updates, "bptt": "full"})


SETTINGS: dict[str, Any] = {
    "language, the default": language,
    "language, 2 x 200": lambda n: language(n, layers=2, hidden=200),
    **{
        f"rows 32 x 50 x 100, {name} of 64": lambda n, name=name: sequences(
            n, name, 32, 50, 100, 64
        )
        for name in ("elman", "lstm", "gru")
    },
    "rows 64 x 200 x 1, lstm of 32": lambda n: sequences(n, "lstm", 64, 200, 1, 32),
}


class Turns(Trainer):
    """A trainer that trains for one interval whenever it is asked to."""

    def __init__(self, task: Task, config: TrainConfig) -> None:
        folder = Run.create_next(Path(tempfile.mkdtemp()), "watch", {"format": FORMAT})
        super().__init__(task, config, folder, str)
        self.resumed_at = self.begun

    def turn(self) -> float:
        """Seconds of the next updates, as many as there are from one look to the next."""
        self.config = self.config.model_copy(update={"max_steps": self.at.update + EVERY})
        start = time.perf_counter()
        while not self.over:
            self._epoch()
        return time.perf_counter() - start


def measure(name: str, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of an update in every round, with the watch and without."""
    trainers = {}
    for watch in (False, True):
        task, config = SETTINGS[name](EVERY * (rounds + 1) + 1)
        config = config.model_copy(update={"watch": watch, "log_every": EVERY})
        trainers[watch] = Turns(task, config)
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds + 1):
        for watch in (True, False) if number % 2 else (False, True):
            times[watch].append(trainers[watch].turn())
    off, on = (dict(trainers[watch].task.network.state_dict()) for watch in (False, True))
    assert all(torch.equal(on[key], off[key]) for key in off), "the watch changed the training"
    return {  # the first turn traces
        name: [1e3 * seconds / EVERY for seconds in times[watch][1:]]
        for name, watch in (("with", True), ("without", False))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="settings whose name has this in it")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    command = shlex.join(["python", "-m", "benchmarks.watch", *sys.argv[1:]])
    result: dict[str, Any] = {"command": command, "environment": environment(), "settings": {}}
    for name in SETTINGS:
        if args.only is None or args.only in name:
            result["settings"][name] = measure(name, args.rounds)
            print(json.dumps({name: result["settings"][name]}), flush=True)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
