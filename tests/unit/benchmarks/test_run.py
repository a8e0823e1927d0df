"""A run from end to end, in processes of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from benchmarks.speed import _run
from benchmarks.speed._plan import Plan
from benchmarks.speed._result import Machine, Row
from benchmarks.speed._run import choose_cores, on_cores, run, variables

from elman import ElmanError

pytestmark = pytest.mark.slow

TINY = Plan(
    shapes=("2x3x4x5x1",),
    cells=("gru",),
    modes=("training",),
    threads=(1,),
    peers=("torch", "eager"),
    repeats=1,
)


@pytest.mark.timeout(300)
def test_a_run() -> None:
    told: list[Any] = []
    result = run(TINY, lambda result, new: told.append((len(result.rows), new)))
    [row] = result.rows
    assert (row.shape, row.cell, row.training) == ("2x3x4x5x1", "gru", True)
    assert set(row.timings) == {"elman", "torch", "eager"}
    assert row.broken is None
    assert [machine.threads for machine in result.machines] == [1]
    assert [(count, type(new)) for count, new in told] == [(1, Row), (1, Machine)]
    assert result.plan["shapes"] == ("2x3x4x5x1",)
    assert result.environment["processor"]


@pytest.mark.timeout(300)
def test_what_ends_a_process_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nosuchpackage\n")
    plan = Plan(shapes=TINY.shapes, cells=TINY.cells, threads=(1,), peers=(str(broken),))
    with pytest.raises(ElmanError, match=r"measuring on 1 thread ended .* No module named 'nosuch"):
        run(plan)


def test_halves_of_one_core_are_taken_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "cores", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(_run, "_siblings", lambda core: f"pair {core // 2}")
    assert choose_cores(2) == [3, 1]
    assert choose_cores(3) == [3, 1, 2]
    monkeypatch.setattr(_run, "_siblings", str)
    assert choose_cores(2) == [3, 2]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not on this system")
def test_cores_are_given_back() -> None:
    before = os.sched_getaffinity(0)
    one = min(before)
    with on_cores([one]):
        assert os.sched_getaffinity(0) == {one}
    assert os.sched_getaffinity(0) == before


def test_what_libraries_read_when_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--a")
    assert variables(2) == {"OMP_NUM_THREADS": "2", "JAX_PLATFORMS": "cpu"}
    assert variables(1)["XLA_FLAGS"] == "--a --xla_cpu_multi_thread_eigen=false"
