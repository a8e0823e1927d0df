"""The table of the Chomsky hierarchy, from the files that benchmarks/chomsky kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.chomsky._problems import PROBLEMS
from benchmarks.speed._table import markdown_table

KEPT = Path(__file__).parent / "results" / "chomsky"

PUBLISHED: Mapping[str, tuple[str, str]] = {
    "even-pairs": ("1.000", "1.000"),
    "modular-arithmetic": ("1.000", "1.000"),
    "parity": ("1.000", "1.000"),
    "cycle-navigation": ("1.000", "1.000"),
    "stack-manipulation": ("0.560", "0.591"),
    "reverse-string": ("0.620", "0.609"),
    "duplicate-string": ("0.503", "0.576"),
    "odds-first": ("0.510", "0.556"),
    "bucket-sort": ("0.279", "0.993"),
}
"""The simple RNN and the LSTM in Table 2 of Deletang et al. 2023: a million updates, the best of
ten seeds and three learning rates."""


def runs() -> list[dict[str, Any]]:
    """What was kept, in the order of task, cell and seed; refused where it cannot be."""
    files = sorted(KEPT.glob("*.json"))
    if not files:
        raise FileNotFoundError(2, "no result", str(KEPT))
    kept: list[dict[str, Any]] = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for file, run in zip(files, kept, strict=True):
        if not (run["environment"].get("commit") or "+").isalnum():
            raise ValueError(f"{file.name} names no commit, or one with changes not committed")
        if not 0 <= run["score"] <= 1:
            raise ValueError(f"{file.name}: the score is {run['score']}, which cannot be")
    if len({json.dumps(run["budget"]) for run in kept}) > 1:
        raise ValueError(f"{KEPT.name}: expected one budget for all runs, got several")
    return kept


def best(task: str, cell: str) -> float | None:
    """The best score of a cell's seeds on a problem; None if there is none."""
    scores = [run["score"] for run in runs() if (run["task"], run["cell"]) == (task, cell)]
    return max(scores, default=None)


def table() -> str:
    """For each problem and cell the best seed, and the mean of all."""
    kept = runs()
    cells = list(dict.fromkeys(run["cell"] for run in kept))
    rows = []
    for task, problem in PROBLEMS.items():
        figures = []
        for cell in cells:
            scores = [r["score"] for r in kept if (r["task"], r["cell"]) == (task, cell)]
            figures.append(f"{max(scores):.3f} ({fmean(scores):.3f})" if scores else "not run yet")
        rows.append([task, problem.level, *figures, *PUBLISHED[task]])
    measured = [f"`{cell}`" for cell in cells]
    heads = ["problem", "language", *measured, "RNN, published", "LSTM, published"]
    return markdown_table(heads, rows)


def origin() -> str:
    kept = runs()
    budget = kept[0]["budget"]
    commands = dict.fromkeys(run["command"] for run in kept)
    places = dict.fromkeys(
        f"commit {facts['commit']}, {facts['date'][:10]}, {facts['processor']}, torch "
        f"{facts['packages']['torch']}"
        for facts in (run["environment"] for run in kept)
    )
    return (
        "```text\n" + "\n".join(commands) + "\n```\n\n"
        f"{budget['updates']:,} updates, {budget['hidden']} units, batch size {budget['batch']}, "
        f"Adam {budget['lr']:g}, gradient norm clipped at {budget['clip']:g}; "
        f"{len({run['seed'] for run in kept})} seeds; {budget['test_rows']} strings of a length. "
        f"Run at {'; '.join(places)}."
    )


TABLES: Mapping[str, Callable[[], str]] = {"chomsky": table, "chomsky origin": origin}
