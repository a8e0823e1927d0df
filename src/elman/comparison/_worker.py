"""The process that trains one run of a comparison and prints its events as JSON lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TypeAlias

from elman._errors import CheckpointError, Diverged, ElmanError, Interrupted
from elman.cells import resolve
from elman.comparison._folder import Folder
from elman.comparison._result import Outcome
from elman.training import Result, Run, resume, train

Curve: TypeAlias = list[tuple[int, float]]

STATUS = Path("/proc/self/status")


def main() -> None:
    """Train or resume the run ``FOLDER NAME SEED CELLS``, and write its outcome.

    CELLS are the user's own, as the parent process has resolved them.
    """
    folder, name, seed = Folder(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    for cell in sys.argv[4:]:
        resolve(cell)
    path = folder.run(name, seed)
    outcome: dict[str, Any] = {"seed": seed, "run": str(path.relative_to(folder.path))}
    try:
        outcome |= finished(trained(folder, name, seed))
    except Interrupted:
        sys.exit(Interrupted.exit_code)
    except Diverged as error:
        outcome |= {"status": "diverged", "message": str(error), "curve": curve(Run.open(path))}
    except ElmanError as error:
        outcome |= {"status": "failed", "message": str(error)}
    folder.save(name, Outcome(**outcome, peak_memory=peak_memory()))


def trained(folder: Folder, name: str, seed: int) -> Result:
    """Resume from the last checkpoint, or train from scratch."""
    path = folder.run(name, seed)
    try:
        Run.open(path).load("last")
    except CheckpointError:
        return train(folder.settings(name, seed), path, force=True, report=emit)
    return resume(path, report=emit)


def emit(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def finished(result: Result) -> dict[str, Any]:
    """The fields of an `Outcome` for a finished run."""
    start, *_, end = result.run.events()
    return {
        "status": "done",
        "input_steps": start.get("input_steps"),
        "seconds": end["seconds"],
        "metric": start["metric"],
        "higher_is_better": start["higher_is_better"],
        "metrics": result.metrics,
        "baselines": result.baselines,
        "curve": curve(result.run),
        **by_length(result),
    }


def curve(run: Run) -> Curve:
    """The metric of the task at each validation, without values that are not finite."""
    metric = run.events()[0]["metric"]
    validations = ((e["update"], e[metric]) for e in run.events() if e["event"] == "valid")
    return [(update, value) for update, value in validations if value is not None]


def by_length(result: Result) -> dict[str, Any]:
    """The task's table of metrics by row length on the last split, if it has one."""
    for table in result.tables:
        if table.by_length:
            return {
                "by_length": [list(row[:3]) for row in table.rows],
                "by_length_of": table.metric,
            }
    return {}


def peak_memory() -> int | None:
    """Peak memory of this process in bytes; None if the system does not report it.

    ``ru_maxrss`` is not used, since in a child it starts at the peak of its parent.
    """
    if not STATUS.exists():
        return None
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    held = next(line for line in lines if line.startswith("VmHWM:"))
    return int(held.split()[1]) * 1024


if __name__ == "__main__":
    main()
