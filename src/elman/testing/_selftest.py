"""What elman promises, checked in a minute on the machine that it runs on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch

from elman import engine as engines
from elman._errors import EngineError
from elman.engine import use_engine
from elman.engine.runtime import library, missing
from elman.layers import Recurrent
from elman.stream import Stream
from elman.testing._base import expect
from elman.testing._cells import CELL_CONTRACTS, MakeCell, close, make_cell, sequences
from elman.testing._composed import composed
from elman.testing._engines import ENGINE_CONTRACTS, check_with
from elman.testing._probes import (
    DROP_INS,
    KINDS,
    OPERATIONS,
    Kind,
    MakeSized,
    Operated,
    published,
)
from elman.testing._random import check_configurations

_SIZES = (3, 5)
_ENGINES = ("native", "reference")  # of the CPU; the first also where its library is missing


class Check(NamedTuple):
    """One check: "ok", "FAILED" or "skipped", the figures or the reason, and its time."""

    name: str
    status: str
    detail: str
    seconds: float


class _Skipped(Exception):
    """Why there is nothing to check."""


def selftest(
    cells: Mapping[str, MakeSized] | None = None, *, seed: int = 0, cases: int = 300
) -> Iterator[Check]:
    """Checks the engines on this machine, one after the other.

    The native library, every contract of every engine, operations, random configurations against
    the reference in float64, and streams, over Elman, LSTM, GRU and a few of the other built-in
    cells; then, for each cell of your own, the contracts of cells, and the same.

    Args:
        cells: by name, your own cells, made by (input_size, hidden_size).
        seed: draws the random configurations and the other built-in cells.
        cases: how many configurations, of the built-in cells and of each of your own; a tenth as
            many of the other built-in cells.

    Yields:
        Each check when it is done. A check that fails does not end the others.

    Example:
        >>> checks = list(selftest(cases=2))
        >>> {check.status for check in checks} <= {"ok", "skipped"}
        True
    """
    built_in = _built_in(seed)
    yield _checked("native library", _native_library)
    for engine in _ENGINES:
        for contract in ENGINE_CONTRACTS:
            work = partial(_contract_of_engine, engine, contract, built_in)
            yield _checked(f"{engine}: {_words(contract)}", work)
    yield _checked("native: operations", _operations)
    numbers = range(100_000 * seed, 100_000 * seed + cases)
    kinds = {**KINDS, **composed(range(20 * seed, 20 * seed + 20))}
    yield _checked("native: random configurations", partial(_random, numbers, kinds))
    work = partial(_random, numbers[: -(-cases // 10)], published(seed, 5))
    yield _checked("native: random configurations of published cells", work)
    yield _checked("streams", partial(_streams, built_in))
    for name, make in (cells or {}).items():
        yield from cell_checks(name, make, seed=seed, cases=cases)


def _built_in(seed: int) -> dict[str, MakeSized]:
    """The cells over which the contracts of engines run."""
    kinds = {**{name: KINDS[name] for name in DROP_INS}, **published(seed, 2)}
    return {name: kind.make for name, kind in kinds.items()}


def cell_checks(
    name: str, make: MakeSized, *, seed: int = 0, cases: int = 300, full: bool = True
) -> Iterator[Check]:
    """Checks a cell that does not come with elman, whose comparisons nobody knows.

    Args:
        name: what the checks are called.
        make: makes the cell by (input_size, hidden_size).
        seed: draws the random configurations.
        cases: how many of them.
        full: False leaves out the contracts that take long: of those of the native engine, only
            the comparison with the reference is made.

    Yields:
        Each check when it is done: the contracts of cells, those of the native engine, random
        configurations, and a stream.

    Example:
        >>> import elman
        >>> checks = cell_checks("gru", elman.cells.GRU, full=False)
        >>> {check.status for check in checks} <= {"ok", "skipped"}
        True
    """
    one = {name: make}
    for contract in CELL_CONTRACTS:
        yield _checked(f"{name}: {_words(contract)}", partial(_contract_of_cell, contract, make))
    for check in ENGINE_CONTRACTS if full else ENGINE_CONTRACTS[:1]:
        work = partial(_contract_of_engine, "native", check, one)
        yield _checked(f"{name}: native: {_words(check)}", work)
    if full:
        kinds = {name: Kind(make, kinked=True)}
        numbers = range(100_000 * seed, 100_000 * seed + cases)
        yield _checked(f"{name}: native: random configurations", partial(_random, numbers, kinds))
    yield _checked(f"{name}: streams", partial(_streams, one))


def _checked(name: str, work: Callable[[], str]) -> Check:
    begun = time.perf_counter()
    try:
        status, detail = "ok", work()
    except _Skipped as reason:
        status, detail = "skipped", str(reason)
    except Exception as error:  # noqa: BLE001 - whatever is raised, the check has failed
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        status, detail = "FAILED", f"{kind}{error}"
    return Check(name, status, detail, time.perf_counter() - begun)


def _words(contract: Callable[..., None]) -> str:
    return contract.__name__.replace("_", " ")


def _native_library() -> str:
    reason = missing()
    if reason is not None:
        raise _Skipped(reason)
    return f"loaded, on {library().isa}, {torch.get_num_threads()} threads"


def _of_size(make: MakeSized) -> MakeCell:
    return lambda: make(*_SIZES)


def _run_natively(make: MakeCell) -> None:
    """Raises _Skipped with the reason where the native engine refuses the cell."""
    cell = make_cell(make)
    x, state = sequences(cell)
    try:
        engines.choose(engines.Recurrence(cell, x.transpose(0, 1), state), "native")
    except EngineError as reason:
        raise _Skipped(f"{reason}; the reference runs it") from None


def _contract_of_engine(
    engine: str, contract: Callable[[str, MakeCell], None], cells: Mapping[str, MakeSized]
) -> str:
    for make in cells.values():
        if engine == "native":
            _run_natively(_of_size(make))
        contract(engine, _of_size(make))
    return _count(cells)


def _count(cells: Mapping[str, MakeSized]) -> str:
    return f"{len(cells)} cells" if len(cells) > 1 else next(iter(cells))


def _contract_of_cell(contract: Callable[[MakeCell], None], make: MakeSized) -> str:
    contract(_of_size(make))
    return ""


def _operations() -> str:
    refused: list[str] = []
    for name in OPERATIONS:
        make = partial(Operated, *_SIZES, name)
        _run_natively(make)
        for dtype in (torch.float32, torch.float64):
            reason = check_with("native", make, dtype=dtype)
            refused += [] if reason is None else [name]
    expect(not refused, f"no operation is refused, but {', '.join(refused)}")
    return f"{len(OPERATIONS)} in float32 and float64"


def _random(numbers: range, kinds: Mapping[str, Kind]) -> str:
    _run_natively(_of_size(next(iter(kinds.values())).make))
    tally = check_configurations("native", numbers, kinds)
    refused = tally.refused.total()
    return f"{tally.equal} equal, {refused} refused, from number {numbers.start}"


def _streams(cells: Mapping[str, MakeSized]) -> str:
    ran = set()
    for name, make in cells.items():
        layer = Recurrent(make_cell(_of_size(make)))
        x, _ = sequences(layer.cell)
        with use_engine("reference"), torch.no_grad():
            expected, _ = layer(x)
        stream = Stream(layer, rows=len(x))
        steps = torch.stack([stream(x_t).clone() for x_t in x.unbind(1)], 1)
        expect(close(steps, expected), f"the stream of {name} gives what its layer gives")
        ran.add(stream.engine)
    return f"{_count(cells)}, on {' and '.join(sorted(ran))}"
