"""Tables of how far gradients reach (gradient_flow.py), of the watch (watch.py), of all cells.

And of elementwise and linear cells (elementwise.py), and of the texts that could complete the
demo's sentence (sentence.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed._table import markdown_table

KEPT = Path(__file__).parent / "results"


def read(name: str) -> dict[str, Any]:
    """A result file; refused if it names no commit."""
    kept: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    if not (kept["environment"].get("commit") or "+").isalnum():
        raise ValueError(f"{name}.json names no commit, or one with changes not committed")
    return kept


def place(kept: Mapping[str, Any]) -> str:
    facts = kept["environment"]
    return (
        f"Commit {facts['commit']}, {facts['date'][:10]}; {facts['cores']} cores of "
        f"{facts['processor']}; torch {facts['packages']['torch']}; `{kept['command']}`."
    )


def gradient_flow() -> str:
    kept = read("gradient_flow")
    rows = []
    for row in kept["rows"]:
        value, low, high = row["half_life"]
        name = f"{row['network']}{', by c' * (row['state'] == 'c')}"
        half_life = (
            f"{value:.3g}" if value == low == high else f"{value:.3g} ({low:.3g} to {high:.3g})"
        )
        rows.append([name, row["when"], half_life, f"{row['share']:.1g}", f"{row['mse']:.3g}"])
    heads = ["network", "", "half-life, steps", "first step's share", "validation error"]
    return f"{markdown_table(heads, rows)}\n\n{place(kept)}"


def watch() -> str:
    kept = read("watch")
    rows = []
    for name, times in kept["settings"].items():
        pairs = zip(times["with"], times["without"], strict=True)
        costs = [100 * (with_watch / without - 1) for with_watch, without in pairs]
        spread = f"{min(costs):.1f} to {max(costs):.1f}"
        rows.append([name, f"{median(times['without']):.2f}", f"{median(costs):.1f}", spread])
    heads = ["setting", "ms an update", "cost of the watch, %", "over the rounds"]
    return f"{markdown_table(heads, rows)}\n\n{place(kept)}"


def cells() -> str:
    kept = read("cells")
    rows, ratios = [], []
    for name, row in kept["cells"].items():
        ours, theirs = (median(row["times"][key]) for key in ("elman", "torchrecurrent"))
        ratios.append(theirs / ours)
        figures = [f"{ours:.2f}", f"{theirs:.1f}", f"{theirs / ours:.1f}"]
        rows.append([f"`{name}`", ", ".join(row["engine"]), *figures])
    heads = ["cell", "engine", "elman, ms", "torchrecurrent, ms", "times as fast"]
    summary = f"Median over cells: {median(ratios):.1f} times as fast; least: {min(ratios):.1f}."
    return f"{markdown_table(heads, rows)}\n\n{summary} {place(kept)}"


def elementwise() -> str:
    kept = read("elementwise")
    rows = []
    for name, row in kept["wide"].items():
        times = {key: median(blocks) for key, blocks in row["times"].items()}
        figures = []
        for key in ("forward", "training"):
            least = times[f"products {key}"] + row["moving"][key]
            figures += [f"{times[key]:.0f}", f"{least:.0f}", f"{times[key] / least:.2f}"]
        rows.append([f"`{name}`", ", ".join(row["engine"]), *figures])
    heads = ["cell", "engine", "forward, ms", "least", "ratio", "training, ms", "least", "ratio"]
    return f"{markdown_table(heads, rows)}\n\n{place(kept)}"


def one_long_row() -> str:
    kept = read("elementwise")
    rows = []
    for name, row in kept["long"].items():
        times = {key: median(blocks) for key, blocks in row["times"].items()}
        for key, time in times.items():
            title = f"{key} ({', '.join(row['engine'])})" if key == "auto" else key
            rows.append([f"`{name}`", title, f"{time:,.0f}", f"{time / times['products']:.2f}"])
    heads = ["cell", "", "forward, ms", "of the products alone"]
    return f"{markdown_table(heads, rows)}\n\n{place(kept)}"


def scan_and_loop() -> str:
    kept = read("elementwise")
    rows = []
    for name, row in kept["short"].items():
        auto, scan, loop = (median(row["times"][key]) for key in ("auto", "parallel", "reference"))
        figures = [f"{auto:.1f}", f"{scan:.1f}", f"{loop:.0f}", f"{loop / scan:.0f}"]
        rows.append([f"`{name}`", *figures])
    heads = ["cell", "auto, ms", "parallel, ms", "loop, ms", "loop / parallel"]
    return f"{markdown_table(heads, rows)}\n\n{place(kept)}"


def sentence() -> str:
    kept = read("sentence")
    words = list(next(iter(kept["texts"].values()))["completions"])
    rows = []
    for name, row in kept["texts"].items():
        times = [str(row["completions"][word]) for word in words]
        taken = ", ".join(f"{word} {n}" for word, n in row["after_take"].items())
        rank, after = f"{row['rank'] or '-'}", f"{row['after']:,}"
        taken = f"{taken or 'none'} of {row['after_take_total']}"
        rows.append([name, f"{row['words'] / 1e6:.1f}", after, *times, rank, taken])
    heads = ["text", "million words", '"for a"', *words, 'rank of "walk"', '"take ... for a"']
    return f"{markdown_table(heads, rows)}\n\n{place(kept)}"


TABLES: Mapping[str, Callable[[], str]] = {
    "gradient flow": gradient_flow,
    "watch": watch,
    "cells": cells,
    "elementwise": elementwise,
    "one long row": one_long_row,
    "scan and loop": scan_and_loop,
    "sentence": sentence,
}
