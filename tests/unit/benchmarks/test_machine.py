"""FLOPs and floors as on paper; what the machine is, is told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from benchmarks.speed import _machine
from benchmarks.speed._machine import bandwidth, environment, floor, flops, machine, peak
from benchmarks.speed._plan import Case, Shape
from benchmarks.speed._problem import Problem


def problem(cell: str, mode: str, training: bool, shape: Shape) -> Problem:
    return Problem.of(Case(shape, cell, mode, training, threads=1))


SMALL = Shape("", 20, 7, 3, 5, 2)


def test_flops_of_two_layers() -> None:
    weights = 4 * 5 * (3 + 5) + 4 * 5 * (5 + 5)  # an LSTM of 5 units on 3 inputs, another on 5
    assert flops(problem("lstm", "inference", False, SMALL)) == 2 * 20 * 7 * weights
    assert flops(problem("lstm", "training", True, SMALL)) == 3 * 2 * 20 * 7 * weights


def test_the_gradient_of_the_input_counts_where_it_is_asked_for() -> None:
    without = SMALL._replace(input_gradient=False)
    full = flops(problem("gru", "training", True, SMALL))
    spared = 2 * 20 * 7 * (3 * 5 * 3)
    assert full - flops(problem("gru", "training", True, without)) == spared


def test_padding_is_no_work() -> None:
    ragged = problem("tanh", "ragged", False, SMALL)
    assert ragged.lengths is not None
    assert flops(ragged) == 2 * int(ragged.lengths.sum()) * (5 * (3 + 5) + 5 * (5 + 5))


def test_both_matrices_of_a_cell_count() -> None:
    one = SMALL._replace(layers=1)
    assert flops(problem("two_matrices", "custom", False, one)) == 2 * 20 * 7 * 3 * 5 * (3 + 5)


def test_the_floor_is_the_higher_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    one = SMALL._replace(layers=1)
    monkeypatch.setattr(_machine, "bandwidth", lambda _: 1e12)
    work = problem("lstm", "inference", False, one)
    assert floor(work, 1e6) == pytest.approx(2 * 20 * 7 * 4 * 5 * (3 + 5) / 1e6)
    asked = []
    monkeypatch.setattr(_machine, "bandwidth", lambda size: asked.append(size) or 1e3)
    recurrent = 4 * 4 * 5 * 5  # bytes
    assert floor(work, 1e6) == pytest.approx(7 * recurrent / 1e3)
    assert floor(problem("lstm", "training", True, one), 1e6) == pytest.approx(
        2 * 7 * recurrent / 1e3
    )
    assert set(asked) == {recurrent}


def test_peak_and_bandwidth() -> None:
    reached, by = peak()
    assert by in _machine.PROBES
    assert reached > 1e8
    rate = bandwidth(4096)
    assert rate > 1e7
    assert bandwidth(4096) == rate
    assert machine().bandwidth[4096] == rate
    assert machine().threads == torch.get_num_threads()


def test_the_peak_is_the_best_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(operations: float) -> Any:
        return lambda: (operations, lambda: None)

    monkeypatch.setattr(_machine, "PROBES", {"slow": probe(1.0), "quick": probe(1e12)})
    monkeypatch.setattr(_machine, "_fastest", lambda _: 2.0)
    assert peak() == (5e11, "quick")


def test_the_environment_names_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    facts = environment()
    assert facts["packages"]["torch"] == torch.__version__
    assert facts["processor"]
    assert facts["variables"]["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert set(facts) >= {"date", "commit", "cores", "load", "system", "python", "capability"}
