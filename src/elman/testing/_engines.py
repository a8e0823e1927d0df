"""The contracts of engines: what the reference computes, whatever happens around the call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from elman import engine as engines
from elman._errors import EngineError
from elman.cells import by_name
from elman.testing._base import expect
from elman.testing._cells import MakeCell, close, make_cell, sequences
from elman.testing._configurations import LENGTHS, Configuration, EngineCall, draw
from elman.testing._probes import (
    BUFFERS,
    CONSTANTS,
    Buffered,
    Changeable,
    Kind,
    MakeSized,
    Masked,
    Optioned,
    Scaled,
)
from elman.testing._problem import device_of
from elman.testing._random import check_configuration

EngineContract = Callable[[str, MakeCell], None]

_OPTIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("lengths",),
    ("reset",),
    ("reverse",),
    ("lengths", "reverse"),
    ("lengths", "reset", "reverse"),
)


def agrees_with_the_reference(name: str, make: MakeCell, declines: Collection[str] = ()) -> None:
    """Outputs, final state and every gradient, at odd sizes; and it is the engine that runs."""
    cell = make_cell(make)
    for steps, batch in ((7, 3), (1, 2), (4, 1)):
        x, state = sequences(cell, steps, batch)
        x = x.transpose(0, 1)  # time first, not contiguous
        lengths = torch.tensor([steps, 0, 2])[:batch].clamp(max=steps)
        reset = torch.rand(steps, batch, generator=torch.Generator().manual_seed(3)) < 0.3
        masks: dict[str, Any] = {
            "lengths": lengths.to(x.device),
            "reset": reset.to(x.device),
            "reverse": True,
        }
        for subset in _OPTIONS:
            options = {option: masks[option] for option in subset}
            case = engines.Recurrence(cell, x, state, **options)
            case_name = f"steps={steps}, batch={batch}, {', '.join(subset) or 'dense'}"
            if not set(subset).isdisjoint(declines):
                expect(_raises_the_reason(case, name), f"{name} declines aloud ({case_name})")
                continue
            expect(engines.choose(case, name)[0] == name, f"{name} is the engine that runs")
            ours, theirs = _run_with_gradients(case, name), _run_with_gradients(case, "reference")
            expect(close(ours, theirs), f"{name} agrees with the reference ({case_name})")


def _raises_the_reason(case: engines.Recurrence, name: str) -> bool:
    try:
        engines.choose(case, name)
    except EngineError:
        return True
    return False


def _run_with_gradients(case: engines.Recurrence, name: str) -> list[Tensor]:
    """Outputs, final state, and the gradients of input, state and every parameter."""
    x = case.x.detach().requires_grad_()
    state = case.cell.State(*(s.detach().requires_grad_() for s in case.state))
    parameters = list(case.cell.parameters())
    again = engines.Recurrence(
        case.cell, x, state, None, case.lengths, case.reset, reverse=case.reverse
    )
    with torch.random.fork_rng([]):  # a cell may draw masks
        torch.manual_seed(4)
        output, final = engines.run(again, name)
    generator = torch.Generator().manual_seed(4)
    loss = sum(
        (t * torch.randn(t.shape, dtype=t.dtype, generator=generator).to(t.device)).sum()
        for t in (output, *final)
    )
    gradients = torch.autograd.grad(loss, [x, *state, *parameters], materialize_grads=True)
    return [output, *final, *gradients]


_BASE = Configuration(
    number=0,
    cell="cell",
    form="recurrence",
    sizes=None,
    dtype=torch.float64,
    steps=6,
    batch=20,  # rows enough for two threads to take some each
    layout="time first",
    lengths=None,
    strided=False,
    elsewhere=False,
    reset=False,
    states=20,
    starts=0,
    reverse=False,
    observe=False,
    split=0,
    calls=(EngineCall((1, 1), (0, 0)),),
    order="f0 b0",
    needs="all",
    mode="grad",
    deterministic=False,
    double_by_default=False,
    flush=False,
)


def check_with(name: str, make: MakeCell, **changes: Any) -> str | None:
    """One configuration; why the engine refuses it, or None."""
    cell = changes.pop("cell", type(make()).__name__)
    kinds = {cell: Kind(lambda *_: make())}
    return check_configuration(name, replace(_BASE, cell=cell, **changes), kinds)


def _sized(make: MakeCell, probe: MakeSized, units: int = 5) -> MakeCell:
    """Probes on the device of the cell that is checked."""
    device = device_of(make())
    return lambda: probe(4, units).to(device)


def threads_may_change(name: str, make: MakeCell) -> None:
    """Another number of threads, or another Python thread, in the backward pass than before."""
    wide = _sized(make, by_name("lstm"), 33)  # units enough for three threads to take some each
    everywhere = ((0, 0), (1, 0), (0, 1))
    for i, threads in enumerate(((1, 2), (2, 1), (3, 2), (1, 3))):
        for places in everywhere:
            check_with(name, make, calls=(EngineCall(threads, places),))
        calls = (EngineCall(threads, everywhere[i % 3]),)
        check_with(name, wide, calls=calls, split=2, lengths=torch.int64)


def calls_in_any_order(name: str, make: MakeCell) -> None:
    """Two calls and their backward passes in any order; a graph twice; second gradients."""
    two = (EngineCall((1, 1), (0, 0)),) * 2
    for order in ("f0 f1 b0 b1", "f0 f1 b1 b0", "f0 b0 f1 b1"):
        check_with(name, make, calls=two, order=order)
    for needs in ("input", "weights", "some"):
        check_with(name, make, needs=needs)
    for mode in ("retain", "double"):
        check_with(name, make, mode=mode, steps=3)


def settings_change_nothing(name: str, make: MakeCell) -> None:
    """Deterministic algorithms, another default dtype, subnormal numbers, inference mode."""
    on_cuda = device_of(make()).type == "cuda"  # where the first wants a variable of its own
    for setting in ("double_by_default", "flush", *(() if on_cuda else ("deterministic",))):
        check_with(name, make, **{setting: True})
    for mode in ("no_grad", "inference"):
        check_with(name, make, mode=mode, order="f0")


def lengths_are_read_as_they_are(name: str, make: MakeCell) -> None:
    """Lengths of every integer type, contiguous and not; those on no device are an error."""
    for dtype in LENGTHS:
        for strided in (False, True):
            check_with(name, make, form="recurrent", lengths=dtype, strided=strided)
    check_with(name, make, lengths=torch.int64, elsewhere=True)


def buffers_are_read_as_they_are(name: str, make: MakeCell) -> None:
    """Buffers, and masks that a cell projects, of booleans, of integers and of floats."""
    for dtype in BUFFERS:
        kinds: tuple[Any, ...] = (Buffered, Scaled, Masked)
        for kind in kinds[: 1 if dtype is None else 3]:
            probe = _sized(make, partial(kind, dtype=dtype))
            check_with(name, probe, cell=f"{kind.__name__} with {dtype or 'floats'}")


def options_are_kept(name: str, make: MakeCell) -> None:
    """An operation with options, such as alpha, gives what it gives with them, or is refused."""
    check_with(name, _sized(make, Optioned))


def changes_are_noticed(name: str, make: MakeCell) -> None:
    """A number of the cell, of its class or around it that changes between two calls."""
    cell: Any = _sized(make, Changeable)().double()
    keep: MakeCell = lambda: cell  # noqa: E731 - one cell, which changes
    check_with(name, keep)
    cell.leak = 0.6
    check_with(name, keep)
    with _changed(Changeable, "gains", (0.4,)):
        check_with(name, keep)
    outer = CONSTANTS["sharpness"]
    CONSTANTS["sharpness"] = 2.5
    try:
        check_with(name, keep)
    finally:
        CONSTANTS["sharpness"] = outer
    check_with(name, keep)


@contextmanager
def _changed(owner: Any, name: str, value: Any) -> Iterator[None]:
    outer = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, outer)


ENGINE_CONTRACTS: tuple[EngineContract, ...] = (
    agrees_with_the_reference,
    threads_may_change,
    calls_in_any_order,
    settings_change_nothing,
    lengths_are_read_as_they_are,
    buffers_are_read_as_they_are,
    options_are_kept,
    changes_are_noticed,
)


def check_engine(
    name: str,
    make: MakeCell,
    declines: Collection[str] = (),
    *,
    cases: int = 20,
    seed: int = 0,
) -> None:
    """Runs every contract of an engine, then random configurations of the cell.

    Outputs, final state and every gradient are compared with the reference's, in float64: at odd
    sizes, one step, one row, lengths with zeros, resets, both directions, non-contiguous input; and
    with all that must not matter: threads and Python threads that change between forward and
    backward, types of buffers and lengths, the order of calls, torch's settings. The engine that
    was asked for must be the one that ran; what it does not do it must refuse with a reason.

    Args:
        name: an entry of ``elman.engine.ENGINES``.
        make: returns a new small cell, on the device where the engine is to run.
        declines: what the engine does not do, of "lengths", "reset" and "reverse"; asked for it, it
            must raise the reason.
        cases: how many random configurations.
        seed: draws them.

    Raises:
        ContractError: says in which case they differ.
        EngineError: the engine cannot run.

    Example:
        >>> import elman
        >>> check_engine("reference", lambda: elman.cells.LSTM(3, 5), cases=3)
    """
    agrees_with_the_reference(name, make, declines)
    for contract in ENGINE_CONTRACTS[1:]:
        contract(name, make)
    on_cuda = device_of(make()).type == "cuda"
    kinds: Mapping[str, Kind] = {type(make()).__name__: Kind(lambda *_: make(), kinked=True)}
    for number in range(seed, seed + cases):
        drawn = draw(number, kinds, sized=False)
        check_configuration(
            name, replace(drawn, deterministic=drawn.deterministic and not on_cuda), kinds
        )
