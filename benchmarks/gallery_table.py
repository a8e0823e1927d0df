"""The tables of docs/which_cell.md, from what gallery.py, chomsky and learning.py kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

from benchmarks import chomsky_table
from benchmarks.chomsky._problems import PROBLEMS, REGULAR
from benchmarks.gallery import BATCH, INPUT, ROWS, STEPS, UNITS, WIDTH
from benchmarks.learning_tables import training
from benchmarks.other_tables import place, read
from benchmarks.speed._table import markdown_table

NOT_YET = "not run yet"

CONTRACTS = {
    "PointwiseCell": "a matrix on the state, elementwise else",
    "ElementwiseCell": "elementwise in the state",
    "LinearCell": "linear in the state, elementwise",
    "Cell": "any step",
}
"""How a cell uses its state, by the contract that it is on."""


def gallery() -> str:
    """Every cell, in the order of CELLS."""
    kept = read("gallery")
    rows = [
        [
            f"`{cell['cell']}`",
            cell["summary"],
            ", ".join(cell["states"]),
            CONTRACTS[cell["contract"]],
            f"{cell['parameters']:,}",
            cell["engine"],
            _half_life(cell),
        ]
        for cell in kept["cells"]
    ]
    heads = ["cell", "", "states", "step", "parameters", "engine", "half-life, steps"]
    sizes = f"{INPUT} inputs, {UNITS} units, {STEPS} steps, {ROWS} rows."
    return f"{markdown_table(heads, rows)}\n\n{sizes} {place(kept)}"


def _half_life(cell: Mapping[str, Any]) -> str:
    """By the state whose gradient lasts longest; None is one that does not decay."""
    if not cell["half_life"]:
        return "no estimate"
    half_life = cell["half_life"][0]
    length = "no decay" if half_life is None else f"{half_life:.3g}"
    return f"{length}, by {cell['state']}" if len(cell["states"]) > 1 else length


def which_cell() -> str:
    """The cells for which memory or state tracking was measured."""
    kept = read("gallery")
    rows = []
    for cell in kept["cells"]:
        name = cell["cell"]
        measured = [_symbols(name), _regular(name)]
        if measured == [NOT_YET, NOT_YET]:
            continue
        is_parallel = cell["contract"] == "LinearCell"
        time = f"{cell['microseconds']:.1f}"
        rows.append([f"`{name}`", _half_life(cell), *measured, time, "yes" if is_parallel else ""])
    if not rows:
        raise FileNotFoundError(2, "no cell was measured", str(chomsky_table.KEPT))
    heads = [
        "cell", "half-life at first, steps", "copy memory, symbols", "regular languages",
        "µs a step", "parallel over time",
    ]  # fmt: skip
    sizes = f"Time: {WIDTH} units, batch size {BATCH}, threads {kept['threads']}."
    return f"{markdown_table(heads, rows)}\n\n{sizes} {place(kept)}"


def _symbols(cell: str) -> str:
    """The share of right symbols of the comparison on copy memory."""
    try:
        (run,) = training("copy-memory")["runs"]
    except FileNotFoundError:
        return NOT_YET
    for candidate in run["event"]["candidates"]:
        shares = [r["metrics"]["test"].get("symbol_accuracy") for r in candidate["runs"]]
        if candidate["name"] == cell and None not in shares:
            return f"{fmean(shares):.3f}"
    return NOT_YET


def _regular(cell: str) -> str:
    """The worst of the regular languages, each by its best seed."""
    try:
        best = [
            chomsky_table.best(task, cell)
            for task, problem in PROBLEMS.items()
            if problem.level == REGULAR
        ]
    except FileNotFoundError:
        return NOT_YET
    scores = [score for score in best if score is not None]
    return f"{min(scores):.3f}" if len(scores) == len(best) else NOT_YET


TABLES: Mapping[str, Callable[[], str]] = {"gallery": gallery, "which cell": which_cell}
