"""Every engine agrees with the reference, and one that does not is caught by its contract."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import elman
import sampling
from elman.cells import CELLS, Projected, by_name
from elman.engine import ENGINES, Recurrence, _select
from elman.testing import (
    ENGINE_CONTRACTS,
    ContractError,
    EngineContract,
    check_configurations,
    check_engine,
)
from plans import absent_engine, engine_of

pytestmark = pytest.mark.unchecked  # thousands of calls of the reference, which has its own tests

LINEAR = [name for name, _ in CELLS if by_name(name).recurrence == "linear"]
ENGINE_NAMES = [name for name, _ in ENGINES if name != "cudnn"]


@pytest.mark.parametrize("cell", sampling.cells(2))
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_engine(engine: str, cell: str) -> None:
    cases = sampling.count(300, 10)
    check = partial(check_engine, engine, lambda: by_name(cell)(3, 5), cases=cases)
    if engine == "parallel" and by_name(cell).recurrence != "linear":
        with pytest.raises(elman.EngineError, match="it runs linear cells"):
            check()
    else:
        check(seed=1000 * sampling.seed())


@pytest.mark.parametrize("cell", sampling.cases(LINEAR, 2))
def test_linear_cells_in_parallel(cell: str) -> None:
    test_engine("parallel", cell)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="cuDNN needs an NVIDIA GPU")
@pytest.mark.parametrize(
    "make",
    [
        *(by_name(name) for name in sampling.ALWAYS),
        lambda i, h: Projected(elman.cells.LSTM(i, h), 2),
    ],
)
def test_cudnn(make: Any) -> None:
    check_engine("cudnn", lambda: make(3, 5).to("cuda"), declines=["reset"])


# Twins of the reference, each with one defect.


def wrong_output(case: Recurrence) -> Any:
    output, final = case.scan()
    return output * 1.0001, final


def wrong_gradient(case: Recurrence) -> Any:
    output, final = case.scan()
    return output, final._make(s.detach() for s in final)


def ignores_resets(case: Recurrence) -> Any:
    return Recurrence(case.cell, case.x, case.state, None, case.lengths).scan()


class _Layout(torch.autograd.Function):
    """Keeps a record that is laid out by the number of threads, which the backward reads anew."""

    @staticmethod
    def forward(ctx: Any, output: Tensor) -> Tensor:
        ctx.threads = torch.get_num_threads()
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.threads / torch.get_num_threads()


def follows_the_threads(case: Recurrence) -> Any:
    output, final = case.scan()
    return _Layout.apply(output), final


class _Latest(torch.autograd.Function):
    """Keeps one record for all calls, which the next forward writes over."""

    calls = 0

    @staticmethod
    def forward(ctx: Any, output: Tensor) -> Tensor:
        _Latest.calls += 1
        ctx.number = _Latest.calls
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient if ctx.number == _Latest.calls else 0.5 * gradient


def keeps_one_record(case: Recurrence) -> Any:
    output, final = case.scan()
    return _Latest.apply(output), final


def follows_the_default_dtype(case: Recurrence) -> Any:
    output, final = case.scan()
    if torch.get_default_dtype() == torch.float64:
        output = output.float().to(output.dtype)
    return output, final


def _misread(t: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers of another type taken for floats as they lie in memory."""
    return t.to(torch.int32 if dtype.itemsize == 4 else torch.int64).view(dtype)


def reads_buffers_as_floats(case: Recurrence) -> Any:
    cell = copy.copy(case.cell)
    dtype = next(case.cell.parameters()).dtype
    cell._buffers = {
        name: b if b is None or b.is_floating_point() else _misread(b, dtype)
        for name, b in case.cell._buffers.items()
    }
    case = copy.copy(case)
    case.cell = cell
    return case.scan()


class _WithoutOptions(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **{k: v for k, v in (kwargs or {}).items() if k != "alpha"})


def drops_options(case: Recurrence) -> Any:
    with _WithoutOptions():
        return case.scan()


def reads_lengths_as_int64(case: Recurrence) -> Any:
    if case.lengths is None or case.lengths.device.type == "meta":
        return case.scan()
    case = copy.copy(case)
    numbers = case.lengths
    behind = torch.zeros(8 * len(numbers), dtype=torch.uint8)  # what lies beyond their end
    memory = torch.cat([numbers.contiguous().view(torch.uint8), behind])[: 8 * len(numbers)]
    case.lengths = memory.view(torch.int64).clamp(0, len(case.x))
    return case.scan()


def ignores_lengths_elsewhere(case: Recurrence) -> Any:
    if case.lengths is not None and case.lengths.device.type == "meta":
        case = copy.copy(case)
        case.lengths = None
    return case.scan()


class RemembersTheFirst:
    """A program that outlives what it was traced from: the numbers of the first cell of a kind."""

    def __init__(self) -> None:
        self.seen: dict[type, dict[str, Any]] = {}

    def __call__(self, case: Recurrence) -> Any:
        plain = {k: v for k, v in vars(case.cell).items() if isinstance(v, float)}
        case = copy.copy(case)
        case.cell = copy.copy(case.cell)
        vars(case.cell).update(self.seen.setdefault(type(case.cell), plain))
        return case.scan()


TWINS: Mapping[str, tuple[Callable[[], Any], str]] = {
    "threads": (lambda: follows_the_threads, "threads_may_change"),
    "one record": (lambda: keeps_one_record, "calls_in_any_order"),
    "default dtype": (lambda: follows_the_default_dtype, "settings_change_nothing"),
    "lengths": (lambda: reads_lengths_as_int64, "lengths_are_read_as_they_are"),
    "lengths elsewhere": (lambda: ignores_lengths_elsewhere, "lengths_are_read_as_they_are"),
    "buffers": (lambda: reads_buffers_as_floats, "buffers_are_read_as_they_are"),
    "options": (lambda: drops_options, "options_are_kept"),
    "stale": (RemembersTheFirst, "changes_are_noticed"),
}


@pytest.fixture
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = engine_of(request.param())
    monkeypatch.setitem(_select._ENGINES, "broken", twin)


def fails(contract: EngineContract) -> bool:
    try:
        contract("broken", lambda: elman.cells.GRU(3, 5))
    except ContractError:
        return True
    return False


@pytest.mark.parametrize(
    "broken",
    [lambda: wrong_output, lambda: wrong_gradient, lambda: ignores_resets],
    indirect=True,
)
def test_a_broken_engine_fails(broken: None) -> None:
    assert fails(ENGINE_CONTRACTS[0])


@pytest.mark.parametrize(
    ("broken", "contract"), TWINS.values(), ids=TWINS.keys(), indirect=["broken"]
)
def test_a_twin_with_one_defect_fails_its_contract_and_no_other(
    broken: None, contract: str
) -> None:
    assert [c.__name__ for c in ENGINE_CONTRACTS if fails(c)] == [contract]
    with pytest.raises(ContractError):
        check_engine("broken", lambda: elman.cells.GRU(3, 5), cases=0)


def test_every_contract_has_a_twin_that_fails_it() -> None:
    first, *others = (c.__name__ for c in ENGINE_CONTRACTS)
    assert first == "agrees_with_the_reference"
    assert set(others) == {contract for _, contract in TWINS.values()}


@pytest.mark.parametrize(
    "broken",
    [make for name, (make, _) in TWINS.items() if name != "stale"],
    ids=[name for name in TWINS if name != "stale"],
    indirect=True,
)
def test_random_configurations_find_a_twin_with_one_defect(broken: None) -> None:
    first = 1000 * sampling.seed()
    with pytest.raises(ContractError, match=r"configuration \d+ "):
        check_configurations("broken", range(first, first + 1000))


def test_an_engine_that_runs_what_it_declines_is_no_pass() -> None:
    with pytest.raises(ContractError, match=r"reference declines aloud .*reset"):
        check_engine("reference", lambda: elman.cells.GRU(3, 5), declines=["reset"])


def test_an_engine_that_steps_aside_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = absent_engine("it is not built")
    monkeypatch.setitem(_select._ENGINES, "absent", absent)
    with pytest.raises(elman.EngineError, match="'absent' cannot run this layer: it is not built"):
        check_engine("absent", lambda: elman.cells.GRU(3, 5))
