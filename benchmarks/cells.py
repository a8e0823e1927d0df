"""Every cell that torchrecurrent has too: our layer beside theirs, training, taking turns.

    python -m benchmarks.cells [--threads 2] [--repeats 7] [--only NAME] [--json FILE]

A call is a forward pass and the gradients of the input and of every parameter at one shape (batch
20, 100 steps, 128 units, 128 features). Their layer is a Python loop over their cell. That both
compute the same is the business of tests/unit/cells. The figures also name the engine of ours.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torchrecurrent
from benchmarks.speed._machine import environment

import elman
from elman.cells import CELLS, by_name
from elman.testing import interleave

BATCH, STEPS, UNITS = 20, 100, 128


def layers() -> dict[str, type]:
    """Their layers, by the names of ours."""
    theirs = {
        name.removesuffix("Cell").lower(): getattr(torchrecurrent, name.removesuffix("Cell"))
        for name in dir(torchrecurrent)
        if name.endswith("Cell")
    }
    return {name: theirs[name] for name, _ in CELLS if name in theirs}


def training(layer: Any, x: torch.Tensor, gradient: torch.Tensor) -> Callable[[], None]:
    leaves = [x, *layer.parameters()]

    def call() -> None:
        for leaf in leaves:
            leaf.grad = None
        output = layer(x)[0]
        output.backward(gradient)

    return call


def measure(name: str, theirs: type, repeats: int) -> dict[str, Any]:
    """Milliseconds of each block, and what ran ours."""
    torch.manual_seed(0)
    ours = elman.Recurrent(by_name(name)(UNITS, UNITS), batch_first=False)
    x = torch.randn(STEPS, BATCH, UNITS, requires_grad=True)
    gradient = torch.randn(STEPS, BATCH, UNITS)
    calls = {
        "elman": training(ours, x, gradient),
        "torchrecurrent": training(theirs(UNITS, UNITS), x, gradient),
    }
    for call in calls.values():
        call()
    explanation = elman.explain(ours, x)
    times = interleave(calls, repeats)
    milliseconds = {key: [1e3 * seconds for seconds in blocks] for key, blocks in times.items()}
    return {"engine": sorted(explanation.engines), "times": milliseconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", help="the cell of this name")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    command = shlex.join(["python", "-m", "benchmarks.cells", *sys.argv[1:]])
    kept: dict[str, Any] = {"command": command, "environment": environment(), "cells": {}}
    kept["environment"]["packages"]["torchrecurrent"] = version("torchrecurrent")
    for name, theirs in layers().items():
        if args.only in (None, name):
            kept["cells"][name] = measure(name, theirs, args.repeats)
            print(json.dumps({name: kept["cells"][name]}), flush=True)
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
