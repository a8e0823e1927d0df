"""Tables of quality, from the end events that benchmarks/learning.py kept.

Each table of results/learning/tables.toml names its metrics, its splits, and for every row a
training and, where the row is a baseline, which one. A training of several seeds gives a value for
each. A row may name one candidate of a comparison instead, or the figures of a publication.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from benchmarks.learning import RUNS
from benchmarks.speed._table import markdown_table

KEPT = Path(__file__).parent / "results" / "learning"
SPLITS = {"valid": "validation", "test": "test"}


class Metric(NamedTuple):
    """How a metric is written, and between which values it can lie at all."""

    title: str
    digits: str
    least: float = 0.0
    most: float = math.inf
    scale: float = 1.0


METRICS = {
    "accuracy": Metric("accuracy", ".4f", most=1),
    "symbol_accuracy": Metric("symbols", ".4f", most=1),
    "nats": Metric("nats", ".4f"),
    "macro_f1": Metric("macro-F1", ".4f", most=1),
    "exact_match": Metric("exact match", ".4f", most=1),
    "coverage": Metric("coverage at 90 %", ".2f", most=1),
    "phoneme_error": Metric("phoneme error", ".4f"),
    "perplexity": Metric("perplexity", ".1f", least=1),
    "nll": Metric("nll of a frame", ".3f"),
    "mse": Metric("mean squared error", ".2g"),
    "rmse": Metric("rmse", ".3g"),
    "bleu": Metric("BLEU-4", ".1f", most=100),
    "bleu_1": Metric("BLEU-1", ".1f", most=100),
    # Of the ball, in per cent of the side of its box.
    "rmse of the box": Metric("a step ahead", ".2f", scale=100),
    "rollout_rmse of the box": Metric("20 steps", ".1f", scale=100),
    "inside": Metric("roll-outs inside the box", ".4f", most=1),
    "bounces": Metric("bounces", ".2f"),
    "true_bounces": Metric("true bounces", ".2f"),
}


def training(name: str) -> dict[str, Any]:
    """What was kept of this training; refused if a metric has a value that it cannot have."""
    kept: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    if not (kept["environment"].get("commit") or "+").isalnum():
        raise ValueError(f"{name}.json names no commit, or one with changes not committed")
    for run in kept["runs"]:
        for where, key, value in _values(run["event"]):
            metric = METRICS.get(key)
            if metric and not metric.least <= value <= metric.most:
                raise ValueError(f"{name}.json: {key} of {where} is {value}, which cannot be")
    return kept


def _values(event: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    groups = {"the network": event.get("metrics", {})} | event.get("baselines", {})
    for candidate in event.get("candidates", []):
        groups |= {f"{candidate['name']}, {r['seed']}": r["metrics"] for r in candidate["runs"]}
    for who, splits in groups.items():
        for split, metrics in splits.items():
            for key, value in metrics.items():
                yield f"{who} on {split}", key, value


def table(specification: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    splits = specification.get("splits", ["valid", "test"])
    metrics = specification["metrics"]
    columns = [(metric, split) for metric in metrics for split in splits]
    heads = [_head(*column, alone=len(metrics) == 1) for column in columns]
    first = METRICS[metrics[0]].title if len(metrics) == 1 else ""
    compared = any("candidate" in row for row in specification["rows"])
    rows = [
        [row["label"], *(_sizes(row) if compared else ()), *_cells(row, columns)]
        for row in specification["rows"]
    ]
    return markdown_table([first, *(("units", "parameters") if compared else ()), *heads], rows)


def _candidate(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a comparison kept of one candidate."""
    (run,) = training(row["run"])["runs"]
    (candidate,) = (c for c in run["event"]["candidates"] if c["name"] == row["candidate"])
    return dict(candidate)


def _sizes(row: Mapping[str, Any]) -> tuple[str, str]:
    if "candidate" not in row:
        return "", ""
    try:
        candidate = _candidate(row)
    except FileNotFoundError:
        return "", ""
    return str(candidate["hidden"]), f"{candidate['parameters']:,}"


def by_length(specification: Mapping[str, Any]) -> str:
    """A comparison's table by length: for each candidate the mean over seeds."""
    rows = specification["rows"]
    tables = [[run["by_length"] for run in _candidate(row)["runs"]] for row in rows]
    groups = [str(group[0]) for group in tables[0][0]]
    cells = [
        [group, *(format(fmean(t[i][-1] for t in several), ".3f") for several in tables)]
        for i, group in enumerate(groups)
    ]
    return markdown_table([specification["lengths"], *(row["label"] for row in rows)], cells)


def against(specification: Mapping[str, Any]) -> str:
    """What was measured, on the test data, of one network of each task and of its best baseline."""
    rows = []
    for row in specification["against"]:
        metric = row["metric"]
        network, baseline = (
            {"run": row["run"]} | extra for extra in ({}, {"baseline": row["baseline"]})
        )
        rows.append(
            [
                f"[{row['task']}]({row['page']})", row["network"],
                f"{METRICS[metric].title} {'↓' if row['lower'] else '↑'}",
                _mean(_cell(network, metric, "test"), metric), _cell(baseline, metric, "test"),
                row["rival"],
            ]
        )  # fmt: skip
    return markdown_table(["task", "network", "on test data", "elman", "baseline", "which"], rows)


def _mean(cell: str, metric: str) -> str:
    """Of the values of several seeds."""
    return format(fmean(map(float, cell.split(", "))), METRICS[metric].digits)


def _head(metric: str, split: str, *, alone: bool) -> str:
    return SPLITS[split] if alone else f"{METRICS[metric].title}, {SPLITS[split]}"


def _cells(row: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    """Of a training; or the values that a publication has."""
    if "published" in row:
        return [row["published"].get(split, "") for _, split in columns]
    try:
        return [_cell(row, *column) for column in columns]
    except FileNotFoundError:
        return ["not run yet"] * len(columns)


def _cell(row: Mapping[str, Any], metric: str, split: str) -> str:
    runs = training(row["run"])["runs"]
    key, how = metric.partition(" of the ")[0], METRICS[metric]
    if "candidate" in row:
        values = [run["metrics"][split][key] for run in _candidate(row)["runs"]]
        spread = f" ± {stdev(values):{how.digits}}" if len(values) > 1 else ""
        return f"{fmean(values):{how.digits}}{spread}"
    if "baseline" in row:  # the same for every seed
        measured = [runs[0]["event"]["baselines"][row["baseline"]]]
    elif "then" in row:
        measured = [run["then"][row["then"]]["event"]["metrics"] for run in runs]
    else:
        measured = [run["event"]["metrics"] for run in runs]
    values = [each.get(split, {}).get(key) for each in measured]
    return ", ".join("" if v is None else format(how.scale * v, how.digits) for v in values)


def origin(names: tuple[str, ...]) -> str:
    """The commands of these trainings, with the seeds, and where they ran."""
    lines, places = [], {}
    for name in names:
        try:
            kept = training(name)
        except FileNotFoundError:
            command = RUNS[name]["command"].replace("{data}/", "")
            lines.append(f"{command}    # not run yet at this version")
            continue
        seeds = ", ".join(str(run["seed"]) for run in kept["runs"])
        lines.append(f"{kept['command']}    # seed {seeds}")
        facts = kept["environment"]
        places[f"commit {facts['commit']}, {facts['date'][:10]}, {facts['processor']}"] = None
    where = f"\n\nRun at {'; '.join(places)}." if places else ""
    return "```text\n" + "\n".join(lines) + f"\n```{where}"


def _tables() -> dict[str, Callable[[], str]]:
    specifications = tomllib.loads((KEPT / "tables.toml").read_text(encoding="utf-8"))
    tables: dict[str, Callable[[], str]] = {}
    for name, specification in specifications.items():
        if "against" in specification:
            tables[name] = partial(against, specification)
            continue
        rows = specification["rows"]
        names = tuple(dict.fromkeys(row["run"] for row in rows if "run" in row))
        tables[name] = partial(by_length if "lengths" in specification else table, specification)
        if "lengths" not in specification:  # else that of the comparison's table
            tables[f"{name} origin"] = partial(origin, names)
    return tables


TABLES = _tables()
