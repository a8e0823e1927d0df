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
from pydantic import BaseModel

from elman.bench._machine import machine
from elman.bench._memory import measure_memory
from elman.bench._plan import Plan
from elman.bench._result import OURS
from elman.bench._rows import measure
from elman.bench.peers import by_name

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
