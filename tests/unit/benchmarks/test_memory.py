"""Peak memory: of a process of its own, above what it held before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.speed import _memory
from benchmarks.speed._memory import measure_memory
from benchmarks.speed._result import Memory
from benchmarks.speed.peers import by_name

from elman import ElmanError

pytestmark = pytest.mark.skipif(
    not _memory.FORGET.exists(), reason="peak memory is read from Linux's /proc"
)

HOARDER = """
import torch
from benchmarks.speed.peers._base import Candidate

def why_not(case): return None

def prepare(problem):
    kept = []
    def call():
        if problem.case.shape.batch == 2:  # the libraries warm up: this must not count
            torch.ones(100 * 2**20 // 4)
            return
        torch.ones(24 * 2**20 // 4)
        kept.append(torch.ones(2**20 // 4))
    return {"hoarder": Candidate(call, lambda _: {})}
"""


@pytest.mark.timeout(300)
def test_peak_and_growth_are_seen(case: Any, tmp_path: Path) -> None:
    hoarder = tmp_path / "hoarder.py"
    hoarder.write_text(HOARDER)
    peers = {str(hoarder): by_name(str(hoarder))}
    row = measure_memory(case("gru", "memory", training=True), peers, steps=8, engine="reference")
    assert row.engine == "reference"
    assert row.candidates["elman"].peak < 20 * 2**20
    seen = row.candidates[str(hoarder)]
    assert 30 * 2**20 <= seen.peak < 40 * 2**20  # 7 MB kept, and 24 MB for a moment
    assert 3.5 * 2**20 <= seen.growth <= 6 * 2**20
    assert seen.steps == 8


def measured(name: str, *_: Any) -> Memory | str:
    return Memory(peak=1, growth=0, steps=2) if name == "elman" else "ValueError: no"


def test_a_peer_that_fails_is_left_out(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_in_new_process", measured)
    asked = case("gru", "memory", training=True)
    row = measure_memory(asked, {"eager": by_name("eager")}, steps=2, engine="auto")
    assert row.left_out == {"eager": "ValueError: no"}
    assert row.ratio("eager") is None


def test_elman_must_not_fail(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_in_new_process", lambda *_: "ValueError: no")
    with pytest.raises(ElmanError, match=r"memory of elman, .* gru: ValueError: no"):
        measure_memory(case("gru", "memory", training=True), {}, steps=2, engine="auto")
