"""No ratio without a passed contract test; no candidate that computes something else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from benchmarks.speed import _rows
from benchmarks.speed._problem import Problem
from benchmarks.speed._result import NEW_TENSORS, OURS, YARDSTICK
from benchmarks.speed._rows import broken_contract, measure
from benchmarks.speed.peers import _eager, _elman
from benchmarks.speed.peers._base import Candidate

from elman import EngineError
from elman.engine import _select
from elman.engine.runtime import _library
from elman.testing import ContractError
from plans import engine_of

pytestmark = [pytest.mark.usefixtures("short_blocks"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Blocks of a single call, and contract tests anew in every test."""
    monkeypatch.setattr("elman.testing._timing.PAUSE", 0.0)
    monkeypatch.setattr("elman.testing._timing.BLOCK", 0.0)
    monkeypatch.setattr(_rows, "floor", lambda *_: 1.0)
    monkeypatch.setattr(_rows, "peak", lambda: (1e9, "on paper"))
    broken_contract.cache_clear()
    yield
    broken_contract.cache_clear()


def fastest() -> str:
    """What "auto" takes on a CPU: the native engine, where its library could be built."""
    return "reference" if _library.missing() else "native"


def peer(call: Any) -> Any:
    def prepare(problem: Problem) -> dict[str, Candidate]:
        return {"theirs": Candidate(call, lambda output: {"output": output})}

    return SimpleNamespace(why_not=lambda _: None, prepare=prepare)


def test_a_row(case: Any) -> None:
    row = measure(case("lstm"), {"eager": _eager}, repeats=2)
    assert (row.cell, row.mode, row.threads, row.calls) == ("lstm", "inference", 1, 1)
    assert set(row.timings) == {OURS, "eager"}
    assert len(row.timings["eager"].blocks) == 2
    assert (row.timings["eager"].first or 0) > 0
    assert row.broken is None
    assert row.others is None or 0 <= row.others <= 1
    assert row.ratio("eager") == row.timings["eager"].median / row.timings[OURS].median


def test_the_engine_that_ran_is_named(case: Any) -> None:
    assert measure(case(), {}, repeats=1).engine == fastest()
    assert measure(case(), {}, repeats=1, engine="reference").engine == "reference"
    with pytest.raises(EngineError, match="cudnn"):
        measure(case(), {}, repeats=1, engine="cudnn")


def test_a_broken_contract_leaves_no_ratio(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str, make: Any) -> None:
        raise ContractError(f"{name} agrees with the reference (dense)")

    monkeypatch.setattr(_rows, "check_engine", fails)
    row = measure(case(), {"eager": _eager}, repeats=1)
    assert row.broken == f"{fastest()} agrees with the reference (dense)"
    assert row.ratio("eager") is None
    assert row.over_floor is None


def test_the_contract_is_that_of_the_engine_and_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(case: Any) -> Any:
        output, final = case.scan()
        return output * 1.0001, final

    broken = engine_of(wrong)
    monkeypatch.setitem(_select._ENGINES, "broken", broken)
    assert "broken agrees with the reference" in (broken_contract("gru", "broken") or "")
    assert "broken agrees with the reference" in (broken_contract("gru", "reference+broken") or "")
    assert broken_contract("gru", "reference") is None


def test_an_engine_that_is_wrong_at_this_shape_is_broken_and_has_no_ratio(
    case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = _elman.prepare

    def wrong(problem: Problem, engine: str) -> dict[str, Candidate]:
        candidate = right(problem, engine)[OURS]
        return {OURS: Candidate(lambda: candidate.call() * 1.01, candidate.read)}

    monkeypatch.setattr(_elman, "prepare", wrong)
    row = measure(case(), {"eager": _eager}, repeats=1)
    assert (row.broken or "").startswith("wrong results: its output is off by")
    assert set(row.timings) == {OURS, "eager"}
    assert row.ratio("eager") is None
    assert not row.left_out


def test_a_peer_that_computes_something_else_is_left_out(case: Any) -> None:
    row = measure(case(), {"them": peer(lambda: torch.zeros(7, 3, 5))}, repeats=1)
    assert row.left_out["theirs"].startswith("wrong results: its output is off by")
    assert set(row.timings) == {OURS}


def test_what_a_peer_raises_ends_its_part_only(case: Any) -> None:
    def fails() -> None:
        raise RuntimeError("no such kernel\nmore")

    row = measure(case(), {"them": peer(fails)}, repeats=1)
    assert row.left_out == {"them": "RuntimeError: no such kernel"}
    assert set(row.timings) == {OURS}


def test_a_peer_that_cannot_is_left_out_by_name(case: Any) -> None:
    unable = SimpleNamespace(why_not=lambda _: "it has no such cell")
    assert measure(case(), {"them": unable}, repeats=1).left_out == {"them": "it has no such cell"}


def test_a_custom_cell_stands_beside_the_lstm(case: Any) -> None:
    row = measure(case("sine", "custom", training=True), {}, repeats=1)
    assert set(row.timings) == {OURS, YARDSTICK}
    assert row.yardstick_flops == 4 * row.flops  # four gates, the same sizes
    ours, lstm = row.timings[OURS].median, row.timings[YARDSTICK].median
    assert row.over_yardstick == pytest.approx((ours / row.flops) / (lstm / row.yardstick_flops))


def test_a_stream_counts_its_steps(case: Any) -> None:
    row = measure(case("lstm", "streaming", shape="2x6x4x5x1"), {}, repeats=1)
    assert (row.calls, row.engine) == (6, "native")
    assert set(row.timings) == {OURS, NEW_TENSORS}
    assert row.best_peer is None
