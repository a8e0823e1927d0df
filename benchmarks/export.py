"""Time of a step: exported C beside `elman.Stream`, one thread: ``python -m benchmarks.export``.

Both are measured in turns, many times, and the least time of each counts, since other work on the
machine can only add to it. ``called`` makes one call from Python a step, as the stream does;
``run`` is ``NAME_run`` over a thousand steps.
"""

from __future__ import annotations

import ctypes
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import elman
from elman.exporting import CompiledC

CELLS, SIZES, WEIGHTS = ("lstm", "gru", "mingru"), (32, 64, 128, 256), ("float32", "int8")
TURNS, STEPS = 60, 200


def measured(functions: dict[str, Callable[[], None]], turns: int = TURNS) -> dict[str, float]:
    """The least microseconds of each function, which are called in turns."""
    least = dict.fromkeys(functions, float("inf"))
    for _ in range(turns):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            least[name] = min(least[name], (time.perf_counter() - start) / STEPS * 1e6)
    return least


def address(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def functions(name: str, units: int, weights: str) -> dict[str, Callable[[], None]]:
    """What runs some steps of a cell, by what does it."""
    layer = elman.Recurrent(elman.cells.by_name(name)(units, units))
    with tempfile.TemporaryDirectory() as folder:
        exported = elman.export(layer, path=folder, weights=weights, max_loss=1)
        texts = {Path(file).name: Path(file).read_text() for file in exported.files}
    flags = ("-O3", "-march=native")
    code = CompiledC(texts, "net", reads_tokens=False, output_size=units, flags=flags)
    stream = elman.Stream(layer)
    stream.input.copy_(torch.randn(1, units))
    inputs = np.random.default_rng(0).standard_normal((STEPS, units)).astype(np.float32)
    arrays = code.state, inputs, np.empty(units, np.float32)
    one, step = [address(array) for array in arrays], code.address("step")

    def streamed() -> None:
        for _ in range(STEPS):
            stream.step()

    def called(_kept: Any = arrays) -> None:  # an address keeps no array alive
        for _ in range(STEPS):
            step(*one)

    def run() -> None:
        code(inputs)

    return {"stream": streamed, "called": called, "run": run}


def main() -> None:
    torch.set_num_threads(1)
    print("cell units weights  stream us  called us  run us  called / stream")
    rows = []
    for weights in WEIGHTS:
        for name in CELLS:
            for units in SIZES:
                least = measured(functions(name, units, weights))
                ratio = least["called"] / least["stream"]
                figures = "".join(f"{least[key]:11.2f}" for key in ("stream", "called", "run"))
                print(f"{name:6s} {units:4d} {weights:8s}{figures}{ratio:11.2f}", flush=True)
                rows.append({"cell": name, "units": units, "weights": weights, **least})
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
