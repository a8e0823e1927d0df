"""Tables of the documentation are those that the result files make, and no figure is impossible."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from benchmarks import learning_tables, speed_tables
from benchmarks.speed._result import Memory, MemoryRow, Result, Row, Timing
from benchmarks.tables import BLOCK, PAGES, ROOT, TABLES, generated

RATIO = re.compile(
    r"\d+(\.\d+)?\s?x\b(?! ?\d)|\d[\d.]* times (as|torch|faster|slower|the (speed|time) of|elman)"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_the_tables_that_its_result_files_make(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert generated(text) == text, "run `python -m benchmarks.tables`"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_prose_states_no_measured_ratio(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    prose = re.sub(r"```.*?```", "", prose, flags=re.DOTALL)
    assert [match[0] for match in RATIO.finditer(prose)] == []


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no table 'sped'"):
        generated("<!-- table: sped -->\n<!-- end -->")


def result(**rows: Any) -> Result:
    return Result(plan={}, environment={"commit": "0123abc"}, **rows)


def row(seconds: float) -> Row:
    return Row(
        mode="training", training=True, shape="S8", cell="lstm", threads=2, engine="native",
        broken=None, timings={"elman": Timing(blocks=[seconds])}, left_out={}, calls=1, floor=1.0,
        flops=1e9,
    )  # fmt: skip


def test_a_time_below_the_floor_is_refused() -> None:
    assert list(speed_tables.impossible(result(rows=[row(1.0)]))) == []
    [reason] = speed_tables.impossible(result(rows=[row(0.5)]))
    assert "training, 2 threads, S8 lstm: elman takes 0.5 s, and the floor is 1 s" in reason


def held(mib: float) -> MemoryRow:
    candidates = {"elman": Memory(peak=int(mib * 2**20), growth=0, steps=3)}
    return MemoryRow(
        shape="S8", cell="lstm", threads=2, engine="native", candidates=candidates, left_out={}
    )


def test_a_peak_below_the_size_of_the_output_is_refused() -> None:
    """An earlier table had the number of steps, 3.0, for the peak of every row."""
    assert list(speed_tables.impossible(result(memory=[held(254)]))) == []
    [reason] = speed_tables.impossible(result(memory=[held(3.0)]))
    assert "memory, S8 lstm: elman holds 3,145,728 bytes" in reason


@pytest.mark.parametrize("commit", [None, "", "0123abc+"])
def test_a_result_of_no_commit_is_refused(commit: str | None) -> None:
    [reason] = speed_tables.impossible(Result(plan={}, environment={"commit": commit}))
    assert "names no commit" in reason


@pytest.mark.parametrize(
    ("split", "metric", "value"),
    [("test", "accuracy", 1.2), ("valid", "perplexity", 0.9), ("test", "mse", float("nan"))],
)
def test_a_metric_that_cannot_be_is_refused(
    split: str, metric: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"metrics": {split: {metric: value}}, "baselines": {}}
    kept = {"environment": {"commit": "0123abc"}, "runs": [{"seed": 0, "event": event}]}
    (tmp_path / "some.json").write_text(json.dumps(kept), encoding="utf-8")
    monkeypatch.setattr(learning_tables, "KEPT", tmp_path)
    with pytest.raises(ValueError, match=rf"some.json: {metric} of the network on {split}"):
        learning_tables.training("some")


def test_every_result_file_stands_in_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    tables = {block["name"] for block in BLOCK.finditer(pages)}
    unused = TABLES.keys() - tables
    assert not unused
