"""One training step of a word model: elman's own, beside the same model made of torch's parts.

    python -m benchmarks.word_model [--threads 2] [--steps 60] [--json FILE]

Two settings: Zaremba's small one (two LSTMs of 200 units, 20 lanes x 35 steps, SGD, gradient norm
clipped) and the default of `elman train language` (one LSTM of 128, 16 x 32, Adam, clipped). Both
have 10,000 words, drawn at random with the frequencies of Zipf's law. A step is all that happens
from one update to the next, the loss and the norm brought to the host included. elman's is
`elman.training` itself; torch's is nn.Embedding, nn.LSTM, nn.Linear, F.cross_entropy,
clip_grad_norm_ and torch.optim, as they come and with `fused=True`. All begin with the same weights
and see the same words, and the first losses must agree. They take turns of four steps, of which the
first is not counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.speed._machine import environment
from torch import Tensor, nn
from torch.nn import functional as F

from elman.data import Vocabulary
from elman.engine.runtime._library import library
from elman.nn import LinearCrossEntropy, linear_cross_entropy
from elman.tasks._language import LanguageModel
from elman.training import Run, config_class, parts
from elman.training._loop import Trainer

WORDS, TURN = 10_000, 4
SETTINGS: dict[str, dict[str, Any]] = {
    "Zaremba, small": {
        "data": {"lanes": 20},
        "model": {"layers": 2, "hidden": 200, "init_range": 0.1},
        "train": {
            "k1": 35, "loss": "sum", "optimizer": "sgd", "lr": 1.0, "schedule": "constant",
            "clip": "norm", "clip_limit": 5.0,
        },
    },
    "the default": {"data": {}, "model": {}, "train": {}},
}  # fmt: skip


class Torch(nn.Module):
    """The same model, as torch.nn has it, with the weights of elman's."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        words, size = network.embedding.weight.shape
        layers = list(network.recurrent.layers)
        self.embedding = nn.Embedding(words, size)
        self.lstm = nn.LSTM(size, network.recurrent.output_size, len(layers))
        self.output = nn.Linear(network.recurrent.output_size, words)
        self.embedding.load_state_dict(network.embedding.state_dict())
        self.output.load_state_dict(network.output.state_dict())
        with torch.no_grad():
            for depth, layer in enumerate(layers):
                for name, value in layer.cell.named_parameters():
                    getattr(self.lstm, f"{name}_l{depth}").copy_(value)

    def forward(self, tokens: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden, state = self.lstm(self.embedding(tokens), state)
        scores = self.output(hidden)
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum"), state


class TorchStep:
    """A training step of the torch model, on the windows that elman reads."""

    def __init__(self, task: LanguageModel, config: Any, fused: bool) -> None:
        self.config, self.lanes, self.at, self.state = config, task.lanes("train"), 0, None
        self.model = Torch(task.build()).train()
        self.parameters = list(self.model.parameters())
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[config.optimizer]
        self.optimizer = kind(self.parameters, config.lr, fused=fused)
        self.schedule = parts.schedule(config, config.max_steps)

    def __call__(self) -> float:
        steps = self.config.k1
        inputs, targets = self.lanes.window(self.at * steps, (self.at + 1) * steps)
        loss, state = self.model(inputs.T, targets.T, self.state)
        self.state = tuple(s.detach() for s in state)
        rows = self.lanes.lanes
        (loss / (rows if self.config.loss == "sum" else rows * steps)).backward()
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip_limit)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self.schedule(0, self.at)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.at += 1
        return loss.item()


class Turns(Trainer):
    """elman's trainer, which after every fourth update lets the others have their turn."""

    def __init__(self, others: dict[str, Callable[[], float]], *args: Any) -> None:
        super().__init__(*args)
        self.others, self.times, self.losses = others, defaultdict(list), defaultdict(list)
        self.since = 0.0

    def _update(self) -> None:
        loss = float(self.loss)
        super()._update()
        self._note("elman", loss, self.since)
        if self.at.update % TURN == 0:
            for name, step in self.others.items():
                for i in range(TURN):
                    self.since = time.perf_counter() if i else 0.0
                    self._note(name, step(), self.since)
        self.since = time.perf_counter() if self.at.update % TURN else 0.0

    def _note(self, name: str, loss: float, since: float) -> None:
        self.losses[name].append(loss)
        if since:
            self.times[name].append(1e3 * (time.perf_counter() - since))


def measure(name: str, steps: int) -> dict[str, Any]:
    """Milliseconds of every step, and of its parts."""
    config, task = prepare(name, steps)
    folder = Run.create_next(Path(tempfile.mkdtemp()), "word-model", config.toml())
    torch.manual_seed(config.train.seed)
    candidates = {}
    for label, fused in (("torch", False), ("torch, fused", True)):
        torch.manual_seed(config.train.seed)
        candidates[label] = TorchStep(task, config.train, fused)
    turns = Turns(candidates, task, config.train, folder, str)
    turns.fit()
    for label in candidates:  # the same model, or the ratio says nothing
        np.testing.assert_allclose(turns.losses[label][:8], turns.losses["elman"][:8], rtol=1e-4)
    return {
        "ms": dict(turns.times),
        "profile": {"elman": elman_parts(task, config), "torch": torch_parts(task, config)},
    }


def prepare(name: str, steps: int) -> tuple[Any, LanguageModel]:
    settings = SETTINGS[name]
    train = {**settings["train"], "max_steps": steps}
    unused = Path(tempfile.mkdtemp(), "unused.txt")
    data = {**settings["data"], "train": [unused]}
    config = config_class("language").parse({**settings, "data": data, "train": train})
    vocabulary = Vocabulary.train([" ".join(f"w{i}" for i in range(WORDS - 1))])
    shares = 1 / np.arange(1, WORDS + 1)
    count = (steps + TURN) * config.train.k1 * config.data.lanes
    words = np.random.default_rng(0).choice(WORDS, count, p=shares / shares.sum())
    return config, LanguageModel(vocabulary, {"train": words}, config.data, config.model)


# ---- the profile: the same steps, part by part ----


def elman_parts(task: LanguageModel, config: Any) -> dict[str, list[float]]:
    network = task.build().train()
    for embedding in parts.sparse_embeddings(config.train, network):
        embedding.sparse = True
    output, parameters = network.output, list(network.parameters())

    def loss(hidden: Tensor, targets: Tensor) -> Tensor:
        return linear_cross_entropy(hidden, output.weight, targets, output.bias, reduction="sum")

    clip = parts.clip(config.train)
    optimizer = parts.optimizer(config.train, parameters)
    return profile(task, config.train, network.embedding, network.recurrent, loss, clip, optimizer)


def torch_parts(task: LanguageModel, config: Any) -> dict[str, list[float]]:
    step = TorchStep(task, config.train, fused=False)
    model = step.model

    def loss(hidden: Tensor, targets: Tensor) -> Tensor:
        scores = model.output(hidden)
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum")

    def clip(parameters: list[nn.Parameter]) -> None:
        nn.utils.clip_grad_norm_(parameters, config.train.clip_limit)

    return profile(task, config.train, model.embedding, model.lstm, loss, clip, step.optimizer)


def profile(
    task: LanguageModel,
    config: Any,
    embed: Callable[..., Any],
    recurrent: Callable[..., Any],
    loss_of: Callable[..., Tensor],
    clip: Callable[..., Any],
    optimizer: torch.optim.Optimizer,
) -> dict[str, list[float]]:
    lanes, times = task.lanes("train"), defaultdict(list)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = None
    divisor = lanes.lanes if config.loss == "sum" else lanes.lanes * config.k1
    for at in range(min(30, lanes.steps // config.k1)):
        clock = time.perf_counter()

        def lap(part: str, clock: list[float] = [clock]) -> None:  # noqa: B006
            now = time.perf_counter()
            times[part].append(1e3 * (now - clock[0]))
            clock[0] = now

        inputs, targets = lanes.window(at * config.k1, (at + 1) * config.k1)
        lap("data")
        x = embed(inputs.T)
        lap("embedding")
        hidden, state = recurrent(x, state)
        lap("recurrence")
        cut = hidden.detach().requires_grad_()
        loss = loss_of(cut, targets.T)
        lap("output layer and loss")
        (loss / divisor).backward()
        lap("output layer and loss, backward")
        hidden.backward(cut.grad)
        lap("recurrence and embedding, backward")
        clip(parameters)
        lap("clipping")
        optimizer.step()
        optimizer.zero_grad()
        lap("optimizer")
        state = torch.utils._pytree.tree_map(Tensor.detach, state)
    return {part: values[5:] for part, values in times.items()}


# ---- the output layer and its loss alone, forward and backward ----

SHAPES = [(400, 200, WORDS), (700, 200, WORDS), (512, 128, WORDS)]


def layer_alone(rows: int, size: int, words: int, rounds: int = 25) -> dict[str, list[float]]:
    h, target = torch.randn(rows, size, requires_grad=True), torch.randint(0, words, (rows,))
    fused, linear = LinearCrossEntropy(size, words), nn.Linear(size, words)
    linear.load_state_dict(fused.state_dict())

    def step(loss: Callable[[], Tensor], module: nn.Module) -> None:
        module.zero_grad()
        h.grad = None
        loss().backward()

    candidates = {
        "elman": lambda: step(lambda: fused(h, target), fused),
        "torch": lambda: step(lambda: F.cross_entropy(linear(h), target), linear),
    }
    times = defaultdict(list)
    for _ in range(rounds):
        for name, call in candidates.items():
            call()
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
    for a, b in zip(fused.parameters(), linear.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    return dict(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="updates of each candidate")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    began = environment()
    result = {
        "command": f"python -m benchmarks.word_model --threads {args.threads} --steps {args.steps}",
        "environment": began | {"isa": library().isa},
        "settings": {name: measure(name, args.steps) for name in SETTINGS},
        "output layer": {" x ".join(map(str, shape)): layer_alone(*shape) for shape in SHAPES},
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if args.json:
        args.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
