"""Every cell of `elman.cells.CELLS`: what it is, how far its gradient reaches at first, its speed.

    python -m benchmarks.gallery

A cell with the first weights of a seed reads numbers from a normal distribution; the loss is a
random direction in the output of the last step. The half-life is that of the state whose gradient
lasts longest. The time is that of a training step, forward and backward, with whatever engine
`engine="auto"` takes: the shortest of several, since other work only makes it longer. The file
benchmarks/results/gallery.json has one entry for each cell; a new cell enters by another run.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch
from benchmarks.speed._machine import environment

import elman
from elman._files import replacing
from elman.cells import CELLS, by_name
from elman.inspection import gradient_flow

KEPT = Path(__file__).parent / "results" / "gallery.json"

INPUT, UNITS, STEPS, ROWS = 16, 64, 100, 16
"""Of the half-life."""

WIDTH, BATCH = 128, 32
"""Of the time, with as many steps."""


def half_life(name: str) -> tuple[str, list[float | None]]:
    """The state whose gradient lasts longest; its half-life and the 95 % interval over rows.

    None stands for a gradient that does not decay. A state has no half-life if the loss does not
    depend on its last step, or on that alone; if none has one, there is no name and no number.
    """
    torch.manual_seed(0)
    layer = elman.Recurrent(by_name(name)(INPUT, UNITS))
    x, direction = torch.randn(ROWS, STEPS, INPUT), torch.randn(layer.output_size)
    flow = gradient_flow(layer, x, loss=lambda h: (h[:, -1] @ direction).sum())
    bounds = {
        state: [bound[0].item() for bound in norms.half_life]
        for state, norms in flow.states.items()
        if not norms.half_life.value.isnan()
    }
    if not bounds:
        return "", []
    longest = max(bounds, key=lambda state: bounds[state][0])
    return longest, [bound if math.isfinite(bound) else None for bound in bounds[longest]]


def microseconds(name: str, repeats: int) -> tuple[str | None, float]:
    """The engine that runs, and the shortest time of a step in training."""
    torch.manual_seed(0)
    layer = elman.Recurrent(by_name(name)(WIDTH, WIDTH))
    x = torch.randn(BATCH, STEPS, WIDTH)
    (choice, *_) = elman.explain(layer, x).choices
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        output, _ = layer(x)
        output.sum().backward()
        times.append(time.perf_counter() - began)
    return choice.engine, 1e6 * min(times[1:]) / STEPS


def entry(name: str, repeats: int) -> dict[str, Any]:
    """What the gallery says of a cell."""
    kind = by_name(name)
    cell = kind(INPUT, UNITS)
    state, bounds = half_life(name)
    engine, step = microseconds(name, repeats)
    return {
        "cell": name,
        "class": kind.__name__,
        "summary": (inspect.getdoc(kind) or "").partition("\n")[0],
        "contract": kind.__mro__[1].__name__,
        "states": list(cell.states),
        "parameters": sum(p.numel() for p in cell.parameters()),
        "engine": engine,
        "microseconds": round(step, 2),
        "state": state,
        "half_life": bounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--file", type=Path, default=KEPT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    began, cells = environment(), []
    for name, _ in CELLS:
        cells.append(entry(name, args.repeats))
        print(json.dumps(cells[-1]), flush=True)
    command = shlex.join(["python", "-m", "benchmarks.gallery", *sys.argv[1:]])
    kept = {"command": command, "environment": began, "threads": args.threads, "cells": cells}
    with replacing(args.file) as target:
        target.write(f"{json.dumps(kept, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
