"""The gallery measures any cell, and its tables say what was measured and what was not."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import chomsky_table, gallery, gallery_table, learning_tables, other_tables

from elman import init
from elman.cells import LSTM, PointwiseCell

PLACE = {
    "commit": "0123abc", "date": "2030-01-01", "processor": "P", "cores": 2,
    "packages": {"torch": "2"},
}  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"STEPS": 20, "UNITS": 6, "WIDTH": 4, "BATCH": 2, "ROWS": 3}.items():
        monkeypatch.setattr(gallery, name, size)


@pytest.mark.usefixtures("small")
def test_a_cell_is_measured() -> None:
    entry = gallery.entry("lstm", repeats=1)
    assert entry["class"] == "LSTM"
    assert entry["contract"] == "PointwiseCell"
    assert entry["parameters"] == 4 * 6 * (16 + 6 + 2)
    assert entry["engine"] == "native"
    assert entry["microseconds"] > 0
    assert entry["state"] in {"h", "c"}
    low, high = entry["half_life"][1:]
    assert 0 < low <= entry["half_life"][0] <= high


@pytest.mark.usefixtures("small")
def test_the_state_that_lasts_longest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forget gate that is open makes c last, and h not so long."""

    def opened(*sizes: int) -> LSTM:
        cell = LSTM(*sizes)
        init.initialize(cell, partial(init.forget_bias, value=5.0))
        return cell

    _, (shut, *_) = gallery.half_life("lstm")
    assert shut
    monkeypatch.setattr(gallery, "by_name", lambda _: opened)
    state, (length, *_) = gallery.half_life("lstm")
    assert state == "c"
    assert length is None or length > 3 * shut


class Shifted(PointwiseCell):
    """No state is read again."""

    states = ("h", "c")
    gates = ("a",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.a) + 0 * rec.a, c=torch.tanh(inp.a))


def test_a_state_that_is_never_read_again_has_no_half_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "by_name", lambda _: Shifted)
    assert gallery.half_life("shifted") == ("", [])
    assert gallery_table._half_life(entry("shifted", half_life=[])) == "no estimate"


def entry(name: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "cell": name, "class": name.upper(), "summary": "A cell.", "contract": "PointwiseCell",
        "states": ["h", "c"], "parameters": 1234, "engine": "native", "microseconds": 2.0,
        "state": "c", "half_life": [1.5, 1.4, 1.6],
    }  # fmt: skip
    return fields | changes


def test_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (other_tables, learning_tables):
        monkeypatch.setattr(module, "KEPT", tmp_path)
    monkeypatch.setattr(chomsky_table, "KEPT", tmp_path / "chomsky")
    with pytest.raises(FileNotFoundError):
        gallery_table.gallery()
    forever = {"contract": "LinearCell", "half_life": [None] * 3, "states": ["h"], "state": "h"}
    cells = [entry("lstm"), entry("lru", **forever), entry("gru")]
    kept = {"command": "c", "environment": PLACE, "threads": 1, "cells": cells}
    (tmp_path / "gallery.json").write_text(json.dumps(kept))
    lines = gallery_table.gallery().splitlines()
    assert lines[2].endswith("| 1,234 | native | 1.5, by c |")
    assert lines[3].endswith("linear in the state, elementwise | 1,234 | native | no decay |")
    with pytest.raises(FileNotFoundError, match="no cell was measured"):
        gallery_table.which_cell()

    (tmp_path / "chomsky").mkdir()
    for task, score in {
        "parity": 0.5, "even-pairs": 1.0, "cycle-navigation": 0.9, "modular-arithmetic": 0.8,
    }.items():  # fmt: skip
        for cell in ("lru", "gru"):
            if (task, cell) == ("parity", "gru"):
                continue
            run = {"task": task, "cell": cell, "seed": 0, "score": score, "budget": {}}
            file = tmp_path / "chomsky" / f"{task}-{cell}.json"
            file.write_text(json.dumps(run | {"environment": PLACE}))
    shares = enumerate((0.5, 1.0))
    runs = [{"seed": n, "metrics": {"test": {"symbol_accuracy": share}}} for n, share in shares]
    event = {"candidates": [{"name": "lstm", "runs": runs}]}
    comparison = {"environment": PLACE, "runs": [{"event": event}]}
    (tmp_path / "copy-memory.json").write_text(json.dumps(comparison))
    rows = gallery_table.which_cell().splitlines()[2:4]
    assert rows == [
        "| `lstm` | 1.5, by c | 0.750 | not run yet | 2.0 |  |",
        "| `lru` | no decay | not run yet | 0.500 | 2.0 | yes |",
    ]
