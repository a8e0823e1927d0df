"""Eight faults, three cells, five seeds: how often the doctor names them, and what its remedy does.

    python benchmarks/doctor.py [--seeds 0 1 2 3 4] [--work FOLDER] [--faults NAME ...] [--no-try]

Every run takes some seconds. Text is lines of random letters, each line said twice, so that the
second half can be foretold by who remembers the first; numbers are the adding problem. A fault lies
in the configuration where that can say it, else in a task that begins with other weights or spoils
a row. The bounds of the doctor's rules were chosen without seeds 3 and 4, which were kept out. The
first remedy is tried on these, beside the run as it is, for as many updates from the same seed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import relu, sigmoid, tanh

from elman import Diverged
from elman.cells import PointwiseCell
from elman.data._probes import adding
from elman.doctor import attempt, examine
from elman.tasks import LanguageModel, Regress
from elman.tasks._base import NamedTask
from elman.train import config_class, fit
from elman.train._run import Run

CELLS = ("elman", "lstm", "gru")
HELD_OUT = (3, 4)
UPDATES = 400


class ReluLSTM(PointwiseCell):
    """What an LSTM stores is a relu."""

    gates, states = ("i", "f", "g", "o"), ("h", "c")
    memory_gate, keeps = "f", "forget"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        i, f, o = sigmoid(inp.i + rec.i), sigmoid(inp.f + rec.f), sigmoid(inp.o + rec.o)
        c = f * state.c + i * relu(inp.g + rec.g)
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * tanh(c), c=c)


class ReluGRU(PointwiseCell):
    """A GRU whose candidate is a relu, as in Ravanelli et al. 2018."""

    gates, states = ("r", "z", "n"), ("h",)
    memory_gate, keeps = "z", "update"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        r, z = sigmoid(inp.r + rec.r), sigmoid(inp.z + rec.z)
        n = relu(inp.n + r * rec.n)
        self.watch(reset=r, update=z)
        return self.State(h=n + z * (state.h - n))


class Own(LanguageModel):
    """First weights of its own, unless the configuration asks for a scheme."""

    def build(self) -> Any:
        network = super().build()
        layer: Any = network.recurrent.layers[0]
        layer.cell = self.cell(layer.cell)
        if self.model.init is None:
            with torch.no_grad():
                self.spoil(layer.cell)
        return network

    def cell(self, cell: Any) -> Any:
        return cell

    def spoil(self, cell: Any) -> None:
        raise NotImplementedError


class Large(Own):
    """Recurrent weights twelve times too large."""

    def spoil(self, cell: Any) -> None:
        cell.weight_hh.mul_(12)


class Dead(Own):
    """Relu units, pushed below 0 by their biases."""

    def cell(self, cell: Any) -> Any:
        kind = {"LSTM": ReluLSTM, "GRU": ReluGRU}.get(type(cell).__name__)
        if kind is None:
            return cell
        own = kind(cell.input_size, cell.hidden_size)
        own.load_state_dict(cell.state_dict())
        return own

    def spoil(self, cell: Any) -> None:
        through_relu = {"Elman": 0, "ReluLSTM": 2, "ReluGRU": 2}[type(cell).__name__]
        cell.bias_ih.chunk(len(cell.gates))[through_relu].sub_(1)


class Spoilt(Regress):
    """A NaN in one of the training rows, as a division by zero leaves it."""

    @classmethod
    def prepare(cls, *args: Any, **options: Any) -> Any:
        task = super().prepare(*args, **options)
        column: Any = task.parts["train"]["x"]
        column.values[len(column.values) // 2, 0] = math.nan
        return task


class Case(NamedTuple):
    """A fault: what the doctor should say, and how to make it."""

    code: str
    lag: int = 4  # of the text; 0 for numbers
    scale: float = 1
    model: Mapping[str, Any] = {}
    train: Mapping[str, Any] = {}
    kind: type[NamedTask] | None = None


FAULTS = {
    "too-large weights": Case("E-EXPLODE", kind=Large),
    "vanishing": Case("E-VANISH", lag=16),
    "saturated gates": Case("E-SATURATED", lag=0, scale=1000),
    "dead relu": Case("E-DEAD", kind=Dead),
    "learning rate": Case("E-LR", train={"lr": 0.5}),
    "truncation": Case("E-TRUNCATED", lag=8, train={"k1": 4}),
    "clipping": Case("E-CLIP", train={"optimizer": "sgd", "lr": 2.0, "clip_limit": 0.005}),
    "NaN in the data": Case("E-NAN-DATA", lag=0, kind=Spoilt),
}
HEALTHY = {
    "text": Case(""),
    "numbers": Case("", lag=0),
    "text, sgd": Case("", train={"optimizer": "sgd", "lr": 2.0, "clip_limit": 2.0}),
}


def text(folder: Path, lag: int) -> Path:
    file, draw = folder / f"text-{lag}.txt", random.Random(0)
    if not file.exists():
        words = ("".join(draw.choices("abcdefgh", k=lag)) for _ in range(12_000 // (2 * lag)))
        file.write_text("".join(f"{word}{word}\n" for word in words), encoding="utf-8")
    return file


def numbers(folder: Path, scale: float) -> Path:
    file = folder / f"numbers-{scale:g}.jsonl"
    if not file.exists():
        rows = ({**r, "series": (r["series"] * [scale, 1]).tolist()} for r in adding(2000, 10, 0))
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def trained(case: Case, cell: str, seed: int, work: Path, path: Path) -> Path:
    """A run of a case; one that diverges is a run, too."""
    model = {"cell": cell, "hidden": 32, **case.model}
    if case.kind is Dead and cell == "elman":
        model["activation"] = "relu"
    train = {"max_steps": UPDATES, "lr": 0.01, "schedule": "constant", "log_every": 20}
    data: dict[str, Any] = (
        {"train": [str(text(work, case.lag))], "level": "char"}
        if case.lag
        else {"train": [str(numbers(work, case.scale))], "series": "series", "standardise": False}
    )
    name = "language" if case.lag else "regress"
    config = config_class(name).parse(
        {
            "data": data,
            "model": model,
            "train": {**train, "seed": seed, "watch": True, **case.train},
        }
    )
    run = Run.create(path, config.toml(), force=True)
    kind: Any = case.kind or (LanguageModel if case.lag else Regress)
    task = kind.prepare(config.data, config.model, run.path)
    with suppress(Diverged):
        fit(task, config.train, run)
    return path


def cases(chosen: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, Case, str, int]]:
    every = {**FAULTS, **{f"healthy: {name}": case for name, case in HEALTHY.items()}}
    wanted = {name: case for name, case in every.items() if not chosen or name in chosen}
    return [(n, c, cell, seed) for n, c in wanted.items() for cell in CELLS for seed in seeds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--faults", nargs="+", default=[])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--no-try", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    work = args.work or Path(tempfile.mkdtemp(prefix="elman-doctor-"))
    work.mkdir(parents=True, exist_ok=True)
    named, first, better, count = Counter(), Counter(), Counter(), Counter()
    for name, case, cell, seed in cases(args.faults, args.seeds):
        path = trained(case, cell, seed, work, work / f"{name}-{cell}-{seed}".replace(" ", "-"))
        kind = case.kind if case.kind is not Spoilt else None  # the run folder has the NaN
        found = examine(path, kind=kind).findings
        codes = [finding.code for finding in found]
        key = name, "kept out" if seed in HELD_OUT else "tuned on"
        hit = case.code in codes if case.code else bool(codes)
        count[key] += 1
        named[key] += hit
        first[key] += bool(codes) and codes[0] == (case.code or codes[0])
        said = ""
        if hit and case.code and seed in HELD_OUT and not args.no_try:
            finding = next(f for f in found if f.code == case.code)
            one = finding._replace(remedies=finding.remedies[:1])
            trials = attempt(path, [one], kind=kind, steps=UPDATES)
            better[name] += sum(trial.better for trial in trials[1:])
            flags = [t.remedy.flags for t in trials[1:] if t.remedy]
            said = f"{[t.score for t in trials]} {flags}"
        print(f"# {name}, {cell}, seed {seed}: {codes} {said}", flush=True)
    report(named, first, better, count)


def report(
    named: Counter[Any], first: Counter[Any], better: Counter[Any], count: Counter[Any]
) -> None:
    print("| | named, seeds 0 to 2 | named, seeds 3 and 4 | named first | first remedy better |")
    print("|---|---|---|---|---|")
    for name in dict.fromkeys(name for name, _ in count):
        old, new = (name, "tuned on"), (name, "kept out")
        on_new = f"{named[new]} of {count[new]}"
        tried = f"{better[name]} of {count[new]}" if name in FAULTS else ""
        order = f"{first[new]} of {count[new]}"
        print(f"| {name} | {named[old]} of {count[old]} | {on_new} | {order} | {tried} |")


if __name__ == "__main__":
    main()
