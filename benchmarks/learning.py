"""Trainings whose figures stand in docs/results.md, run from the command line of elman.

    python -m benchmarks.learning sunspots motion --data FOLDER
    python -m benchmarks.learning --list

The commands are those of benchmarks/results/learning/commands.toml. What is kept of each is in
benchmarks/results/learning: the command, seed, commit, versions and machine, and the end event of
every run, unchanged. `python -m benchmarks.tables` makes the tables of the page from these.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed._machine import environment

HERE = Path(__file__).parent
KEPT = HERE / "results" / "learning"
COMMANDS = (KEPT / "commands.toml").read_text(encoding="utf-8")
RUNS: Mapping[str, Mapping[str, Any]] = tomllib.loads(COMMANDS)


def last_event(command: Sequence[str], folder: Path) -> dict[str, Any]:
    """The last line of the JSON that this command prints."""
    quiet = ["--quiet"] if command[1] == "train" else []
    done = subprocess.run(
        [sys.executable, "-m", "elman", *command[1:], "--json", *quiet],
        cwd=folder, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{shlex.join(command)} ended with exit code {done.returncode}")
    event: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return event


def run(name: str, data: Path | None) -> dict[str, Any]:
    """Train once for each seed, and keep what the runs said at their end."""
    entry = RUNS[name]
    if "{data}" in entry["command"] and data is None:
        sys.exit(f"{name} reads files that are not part of this project: add --data FOLDER")
    events, began = [], environment()
    with tempfile.TemporaryDirectory() as folder:
        for seed in entry.get("seeds", [0]):
            command = f"{entry['command']} --seed {seed}"
            trained = last_event(shlex.split(command.format(data=data)), Path(folder))
            later = [
                {"command": each, "event": last_event(
                    shlex.split(each.format(run=trained["run"])), Path(folder))}
                for each in entry.get("then", [])
            ]  # fmt: skip
            events.append({"seed": seed, "event": trained, "then": later})
    command = entry["command"].replace("{data}/", "")
    return {"name": name, "command": command, "environment": began, "runs": events}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*RUNS, []], metavar="NAME")
    parser.add_argument("--data", type=Path, help="the folder of files that are not ours to give")
    parser.add_argument("--list", action="store_true", help="the names, and their commands")
    args = parser.parse_args()
    if args.list:
        print(*(f"{name}: {entry['command']}" for name, entry in RUNS.items()), sep="\n")
    for name in args.names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        kept = json.dumps(run(name, args.data and args.data.resolve()), indent=1) + "\n"
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{name}.json").write_text(kept, encoding="utf-8")


if __name__ == "__main__":
    main()
