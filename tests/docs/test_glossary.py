"""Configuration keys, metrics and event keys stand in the glossary, each in one row."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from benchmarks.learning_tables import METRICS
from docs._build.blocks import ROOT

import elman
from elman.tasks import TASKS
from elman.training import config_class

SOURCES = sorted(Path(elman.__file__).parent.rglob("*.py"))
QUOTED = re.compile(r"`([\w.]+)`")


class Entry(NamedTuple):
    """One row of the glossary."""

    term: str
    meaning: str
    where: str

    @property
    def keys(self) -> list[str]:
        return QUOTED.findall(self.where)


def entries() -> list[Entry]:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Entry(*row) for row in cells if row[0] != "term" and not row[0].startswith("---")]


ENTRIES = entries()


def configuration_keys() -> set[str]:
    """``section.key`` of every task."""
    keys = set()
    for task, _ in TASKS:
        for section, field in config_class(task).model_fields.items():
            keys |= {f"{section}.{key}" for key in field.annotation.model_fields}  # type: ignore[union-attr]
    return keys


def strings(nodes: Iterable[ast.expr | None]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def metric_names() -> set[str]:
    """Those that benchmarks show, and those in the source of functions that return metrics."""
    names = {name.removesuffix(" of the box") for name in METRICS}
    for file in SOURCES:
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(function, ast.FunctionDef) and function.returns):
                continue
            if ast.unparse(function.returns) != "Metrics":
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Dict):
                    names.update(strings(node.keys))
                elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                    names.update(strings([node.slice]))
    return names


def event_names() -> set[str]:
    """The values of "event" in the source; the lab's own go to its page and nowhere else."""
    names = set()
    for file in SOURCES:
        if "lab" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                values = [value for key, value in pairs if "event" in strings([key])]
                names.update(strings(values))
    return names


def of_event(event: dict[str, Any]) -> Iterator[str]:
    """The keys of an event, and of what it logs of each layer."""
    yield from event
    for layer in event.get("layers", {}).values():
        yield from layer
        for measures in (*layer["gates"].values(), *layer["states"].values()):
            yield from measures


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Those of two short runs: a table and a text."""
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "text.txt"
    text.write_text("one two three four\n" * 200, encoding="utf-8")
    data = {
        "regress": {"name": "adding", "rows": 60, "steps": 8},
        "language": {"train": [str(text)], "lanes": 4},
    }
    reported: list[dict[str, Any]] = []
    for task, section in data.items():
        train = {"max_steps": 2, "watch": True, "watch_every": 1, "log_every": 1}
        settings = {"data": section, "model": {"hidden": 4}, "train": train}
        config = config_class(task).parse(settings)
        elman.train(config, directory=folder, report=reported.append)
    for file in folder.rglob("metrics.jsonl"):
        reported += map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return reported


def homes(key: str) -> list[str]:
    """The terms in whose rows a key stands."""
    return [entry.term for entry in ENTRIES if key in entry.keys]


def check(keys: set[str]) -> None:
    """Each key stands in one row, and all keys of one word in the same."""
    assert not {key: homes(key) for key in keys if len(homes(key)) != 1}
    rows: dict[str, set[str]] = {}
    for key in (*keys, *QUOTED.findall(" ".join(entry.where for entry in ENTRIES))):
        if key.islower() and key.split(".")[0] in {"data", "model", "train", key}:
            rows.setdefault(key.split(".")[-1], set()).update(homes(key))
    assert not {word: terms for word, terms in rows.items() if len(terms) > 1}


def test_a_term_has_one_row() -> None:
    terms = [entry.term for entry in ENTRIES]
    assert len(terms) == len(set(terms))


def test_configuration_keys() -> None:
    check(configuration_keys())


def test_no_key_is_left_that_is_none() -> None:
    quoted = {key for entry in ENTRIES for key in entry.keys}
    keys = {key for key in quoted if re.match(r"(data|model|train)\.", key)}
    assert keys == configuration_keys()


def test_metrics() -> None:
    check(metric_names())


def test_events(events: list[dict[str, Any]]) -> None:
    names = event_names() | {event["event"] for event in events}
    check(names | {key for event in events for key in of_event(event)})
