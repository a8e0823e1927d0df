"""Trains cells on nine problems of the Chomsky hierarchy, on strings of at most 40 symbols.

    python -m benchmarks.chomsky --cells elman,lstm,gru --updates 4000 --seeds 3

A result is a file in benchmarks/results/chomsky for each problem, cell and seed. What is there
already is not run again, so that a command that was stopped goes on with the run that it was at.
`python -m benchmarks.tables` makes the table of docs/results.md from these files.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from benchmarks.chomsky._problems import PROBLEMS
from benchmarks.chomsky._train import Budget, Transducer, trained
from benchmarks.speed._machine import environment

from elman._files import replacing

KEPT = Path(__file__).parents[1] / "results" / "chomsky"


def is_there(file: Path, budget: Budget) -> bool:
    """Whether a run is done; refused if that was with another budget."""
    if not file.exists():
        return False
    kept = json.loads(file.read_text(encoding="utf-8"))["budget"]
    if kept != budget._asdict():
        sys.exit(
            f"{file}: expected the budget {budget._asdict()}, got {kept}: use the same for all, or "
            "another --folder"
        )
    return True


def keep(file: Path, run: dict[str, Any]) -> None:
    with replacing(file) as target:
        target.write(f"{json.dumps(run, indent=1)}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cells", type=lambda text: text.split(","), default=["elman", "lstm", "gru"],
        help="names, each also with a colon and an initialization scheme: elman:orthogonal",
    )  # fmt: skip
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=[*PROBLEMS])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--updates", type=int, default=4000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--test-rows", type=int, default=16, help="strings of each length")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=KEPT, help="where results are kept")
    args = parser.parse_args()
    if unknown := set(args.tasks) - set(PROBLEMS):
        parser.error(f"unknown task {min(unknown)!r}: expected some of {', '.join(PROBLEMS)}")
    for cell in args.cells:  # an unknown one is refused before anything runs
        Transducer(cell, symbols=1, classes=1, hidden=1)
    torch.set_num_threads(args.threads)
    budget = Budget(args.updates, args.hidden, args.batch, args.lr, test_rows=args.test_rows)
    command = shlex.join(["python", "-m", "benchmarks.chomsky", *sys.argv[1:]])
    for seed in range(args.seeds):
        for task in args.tasks:
            for cell in args.cells:
                file = args.folder / f"{task}-{cell.replace(':', '-')}-{seed}.json"
                if is_there(file, budget):
                    continue
                began = environment()
                run = trained(task, cell, seed, budget)
                what = {"task": task, "cell": cell, "seed": seed, "budget": budget._asdict()}
                keep(file, {**what, "command": command, "environment": began, **run})
                print(f"{task}, {cell}, seed {seed}: {run['score']:.3f}", flush=True)


if __name__ == "__main__":
    main()
