"""Every engine agrees with the reference, and one that does not is caught."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import elman
from elman.cells import CELLS, Projected, by_name
from elman.engine import ENGINES, Recurrence, _reference, _select
from elman.testing import ContractError, check_engine


@pytest.mark.parametrize("cell", [name for name, _ in CELLS])
@pytest.mark.parametrize("engine", [name for name, _ in ENGINES if name != "cudnn"])
def test_engine(engine: str, cell: str) -> None:
    check_engine(engine, lambda: by_name(cell)(3, 5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="cuDNN needs an NVIDIA GPU")
@pytest.mark.parametrize(
    "make",
    [*(by_name(name) for name, _ in CELLS), lambda i, h: Projected(elman.cells.LSTM(i, h), 2)],
)
def test_cudnn(make: Any) -> None:
    check_engine("cudnn", lambda: make(3, 5).to("cuda"), declines=["reset"])


def _wrong_output(case: Recurrence) -> Any:
    output, final = _reference.run(case)
    return output * 1.0001, final


def _wrong_gradient(case: Recurrence) -> Any:
    output, final = _reference.run(case)
    return output, final._make(s.detach() for s in final)


def _ignores_resets(case: Recurrence) -> Any:
    return _reference.run(Recurrence(case.cell, case.x, case.state, None, case.lengths))


def _needs_the_same_threads(case: Recurrence) -> Any:
    """Its gradient counts on the number of threads that the forward had."""
    output, final = _reference.run(case)
    count = torch.get_num_threads()
    output.register_hook(lambda g: g if torch.get_num_threads() == count else 2 * g)
    return output, final


@pytest.mark.parametrize(
    "run", [_wrong_output, _wrong_gradient, _ignores_resets, _needs_the_same_threads]
)
def test_a_broken_engine_fails(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = SimpleNamespace(why_not=lambda _: None, run=run)
    monkeypatch.setitem(_select._ENGINES, "broken", broken)
    with pytest.raises(ContractError):
        check_engine("broken", lambda: elman.cells.GRU(3, 5))


def test_an_engine_that_runs_what_it_declines_is_no_pass() -> None:
    with pytest.raises(ContractError, match=r"reference declines aloud .*reset"):
        check_engine("reference", lambda: elman.cells.GRU(3, 5), declines=["reset"])


def test_an_engine_that_steps_aside_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = SimpleNamespace(why_not=lambda _: "it is not built", run=_reference.run)
    monkeypatch.setitem(_select._ENGINES, "absent", absent)
    with pytest.raises(elman.EngineError, match="'absent' cannot run this layer: it is not built"):
        check_engine("absent", lambda: elman.cells.GRU(3, 5))
