"""The process that measures on one number of threads: a plan comes in, rows go out as they end.

It is started on as many processors as threads, with the environment that the libraries read once,
when they are loaded.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator

import torch
from benchmarks.speed._machine import machine
from benchmarks.speed._memory import measure_memory
from benchmarks.speed._plan import Plan
from benchmarks.speed._result import OURS
from benchmarks.speed._rows import measure
from benchmarks.speed.peers import by_name
from pydantic import BaseModel

Event = tuple[str, BaseModel]


def events(plan: Plan) -> Iterator[Event]:
    """Every row, then the machine: ("row" | "memory" | "machine", what was measured)."""
    [threads] = plan.threads
    torch.set_num_threads(threads)
    peers = {name: by_name(name) for name in plan.peers if name != OURS}
    timed = False
    for case in plan.cases(threads):
        if case.mode == "memory":
            steps, engine = plan.repeats, plan.engine
            yield "memory", measure_memory(case, peers, steps=steps, engine=engine)
        else:
            timed = True
            yield "row", measure(case, peers, repeats=plan.repeats, engine=plan.engine)
    if timed:
        yield "machine", machine()


def main() -> None:
    asked = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")  # other libraries' advice is not ours to give
    for kind, measured in events(Plan.of(asked["plan"])):
        sys.stdout.write(json.dumps({"event": kind, "data": measured.model_dump()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
