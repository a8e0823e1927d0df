"""The contracts of cells, and those of engines, which compute what the reference computes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from elman import engine as engines
from elman._errors import EngineError
from elman.cells import Cell
from elman.layers import Recurrent
from elman.testing._base import ContractError, expect

MakeCell = Callable[[], Cell]
Contract = Callable[[MakeCell], None]


def _cell(make: MakeCell, dtype: torch.dtype = torch.float64) -> Cell:
    torch.manual_seed(0)
    return make().to(dtype)


def _sequences(
    cell: Cell, steps: int = 5, batch: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Any]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, steps, cell.input_size, dtype=dtype, generator=generator)
    state = (
        torch.randn(batch, s, dtype=dtype, generator=generator) * 0.5 for s in cell.state_sizes
    )
    device = next(cell.parameters(), x).device
    return x.to(device), cell.State(*(s.to(device) for s in state))


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-11)
    return all(map(_close, a, b))


def scan_is_the_fold_of_step(make: MakeCell) -> None:
    """A layer's outputs are those of its cell's step, taken one by one."""
    layer = Recurrent(_cell(make))
    x, state = _sequences(layer.cell)
    steps = x.unbind(1)
    states = list(accumulate(steps, lambda s, x_t: layer.step(x_t, s)[1], initial=state))[1:]
    output, final = layer(x, state)
    expect(_close(output, torch.stack([s[0] for s in states], 1)), "the scan is the fold of step")
    expect(_close(final, states[-1]), "the final state is the last step's")


def whole_is_its_chunks(make: MakeCell) -> None:
    """Any two chunks, the state carried between them, give what the whole gives."""
    layer = Recurrent(_cell(make))
    x, state = _sequences(layer.cell)
    output, final = layer(x, state)
    for cut in range(1, x.shape[1]):
        first, between = layer(x[:, :cut], state)
        second, last = layer(x[:, cut:], between)
        expect(
            _close(output, torch.cat([first, second], 1)) and _close(final, last),
            f"the whole equals its two chunks cut at {cut}",
        )


def rows_are_independent(make: MakeCell) -> None:
    """A row gives the same alone, and among others in another order."""
    layer = Recurrent(_cell(make))
    x, state = _sequences(layer.cell)
    output, _ = layer(x, state)
    for rows in ([1], [2, 0, 1]):
        some = layer.cell.State(*(s[rows] for s in state))
        expect(_close(layer(x[rows], some)[0], output[rows]), "rows are independent")


def padding_is_inert(make: MakeCell) -> None:
    """Steps past a row's length change nothing, whatever they hold; not even a gradient."""
    layer = Recurrent(_cell(make))
    x, state = _sequences(layer.cell)
    lengths = torch.tensor([5, 0, 2])
    padded = x.clone()
    padded[1], padded[2, 2:] = torch.nan, torch.inf
    output, final = layer(padded, state, lengths=lengths)
    expect(bool((output[1] == 0).all() and (output[2, 2:] == 0).all()), "output is 0 at padding")
    expect(_close([s[1] for s in final], [s[1] for s in state]), "an empty row keeps its state")
    short = layer.cell.State(*(s[2:] for s in state))
    alone, alone_final = layer(x[2:, :2], short)
    expect(_close(output[2:, :2], alone), "padding changes no output")
    expect(_close([s[2:] for s in final], alone_final), "padding changes no state")
    weights = [p for p in layer.parameters() if p.requires_grad]
    with_padding = torch.autograd.grad(output[2].sum(), weights, allow_unused=True)
    without = torch.autograd.grad(alone.sum(), weights, allow_unused=True)
    pairs = [(a, b) for a, b in zip(with_padding, without, strict=True) if b is not None]
    expect(all(a is not None and _close(a, b) for a, b in pairs), "padding changes no gradient")


def gradients_are_right(make: MakeCell) -> None:
    """Autograd agrees with finite differences for input, state and every parameter."""
    layer = Recurrent(_cell(make))
    x, state = _sequences(layer.cell, steps=3, batch=2)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(names, tensors[len(state) :], strict=True))
        inputs = (x, layer.cell.State(*tensors[: len(state)]))
        output, final = torch.func.functional_call(layer, given, inputs)
        return (output, *final)

    inputs = [t.detach().clone().requires_grad_() for t in (x, *state, *layer.parameters())]
    try:
        torch.autograd.gradcheck(run, inputs)
    except RuntimeError as error:
        raise ContractError(f"gradients agree with finite differences: {error}") from None


def state_dict_round_trips(make: MakeCell) -> None:
    """A cell made anew gives the same once it has loaded the other's state_dict."""
    torch.manual_seed(0)
    first = Recurrent(make().double())
    torch.manual_seed(1)
    second = Recurrent(make().double())
    x, state = _sequences(first.cell)
    second.load_state_dict(first.state_dict())
    expect(_close(first(x, state)[0], second(x, state)[0]), "the state_dict holds the whole cell")


def dtype_follows_the_input(make: MakeCell) -> None:
    """A cell moved to a dtype computes, and returns, in it."""
    for dtype in (torch.float32, torch.float64):
        cell = _cell(make, dtype)
        try:
            output, final = Recurrent(cell)(_sequences(cell, dtype=dtype)[0])
        except RuntimeError as error:
            raise ContractError(f"the cell computes in {dtype}: {error}") from None
        expect(all(t.dtype == dtype for t in (output, *final)), f"the dtype stays {dtype}")


def deterministic_given_a_seed(make: MakeCell) -> None:
    """The same seed gives the same numbers, and a copy gives what the original gives."""
    outputs = []
    for _ in range(2):
        cell = _cell(make)
        x, state = _sequences(cell)
        for each in (cell, copy.deepcopy(cell)):
            torch.manual_seed(2)
            outputs.append(Recurrent(each)(x, state)[0])
    expect(all(torch.equal(outputs[0], o) for o in outputs), "one seed gives one result")


def is_documented(make: MakeCell) -> None:
    """The docstring has the equation, the paper, and an example (run as a doctest)."""
    text = type(make()).__doc__ or ""
    for part in (".. math::", "Reference", ">>> "):
        expect(part in text, f"the docstring has {part!r}")


CELL_CONTRACTS: tuple[Contract, ...] = (
    scan_is_the_fold_of_step,
    whole_is_its_chunks,
    rows_are_independent,
    padding_is_inert,
    gradients_are_right,
    state_dict_round_trips,
    dtype_follows_the_input,
    deterministic_given_a_seed,
)


def check_cell(make: MakeCell) -> None:
    """Runs every contract of a cell.

    Args:
        make: returns a new small cell; its parameters must be drawn by torch's generator.

    Errors: ContractError says which contract is broken.

    Example:
        >>> import elman
        >>> check_cell(lambda: elman.cells.GRU(2, 3))
    """
    for contract in CELL_CONTRACTS:
        contract(make)


def check_engine(name: str, make: MakeCell, declines: Collection[str] = ()) -> None:
    """Outputs, final state and every gradient of an engine against the reference.

    Odd sizes, one step, one row, lengths with zeros, resets, both directions, non-contiguous input,
    a backward on more or fewer threads than the forward; and the engine that was asked for must be
    the one that ran.

    Args:
        name: an entry of ``elman.engine.ENGINES``.
        make: returns a new small cell, on the device where the engine is to run.
        declines: what the engine does not do, of "lengths", "reset" and "reverse"; asked for it, it
            must raise the reason.

    Errors: ContractError says in which case they differ; EngineError if the engine cannot run.

    Example:
        >>> import elman
        >>> check_engine("reference", lambda: elman.cells.LSTM(3, 5))
    """
    cell = _cell(make)
    for steps, batch in ((7, 3), (1, 2), (4, 1)):
        x, state = _sequences(cell, steps, batch)
        x = x.transpose(0, 1)  # time first, not contiguous
        lengths = torch.tensor([steps, 0, 2])[:batch].clamp(max=steps)
        reset = torch.rand(steps, batch, generator=torch.Generator().manual_seed(3)) < 0.3
        masks: dict[str, Any] = {
            "lengths": lengths.to(x.device),
            "reset": reset.to(x.device),
            "reverse": True,
        }
        for asked in _ASKED:
            options = {option: masks[option] for option in asked}
            case = engines.Recurrence(cell, x, state, **options)
            shown = f"steps={steps}, batch={batch}, {', '.join(asked) or 'dense'}"
            if not set(asked).isdisjoint(declines):
                expect(_raises_the_reason(case, name), f"{name} declines aloud ({shown})")
                continue
            expect(engines.choose(case, name) == name, f"{name} is the engine that runs")
            ours, theirs = _run_with_gradients(case, name), _run_with_gradients(case, "reference")
            expect(_close(ours, theirs), f"{name} agrees with the reference ({shown})")
    _check_threads(name, cell, lengths="lengths" not in declines)


def _check_threads(name: str, cell: Cell, *, lengths: bool) -> None:
    """The backward may have another number of threads than the forward."""
    x, state = _sequences(cell, steps=4, batch=40)  # enough rows to be divided among threads
    ragged = (torch.arange(40, device=x.device) % 5) if lengths else None
    case = engines.Recurrence(cell, x.transpose(0, 1), state, lengths=ragged)
    theirs = _run_with_gradients(case, "reference")
    for counts in ((2, 1), (1, 2), (3, 2), (2, 4)):
        ours = _run_with_gradients(case, name, counts)
        shown = "{} threads forward, {} backward".format(*counts)
        expect(_close(ours, theirs), f"{name} agrees with the reference ({shown})")


_ASKED: tuple[tuple[str, ...], ...] = (
    (),
    ("lengths",),
    ("reset",),
    ("reverse",),
    ("lengths", "reverse"),
    ("lengths", "reset", "reverse"),
)


def _raises_the_reason(case: engines.Recurrence, name: str) -> bool:
    try:
        engines.choose(case, name)
    except EngineError:
        return True
    return False


def _run_with_gradients(
    case: engines.Recurrence, name: str, threads: tuple[int, int] | None = None
) -> list[Tensor]:
    """Outputs, final state, and the gradients of input, state and every parameter.

    ``threads``: how many the forward has, and how many the backward.
    """
    x = case.x.detach().requires_grad_()
    state = case.cell.State(*(s.detach().requires_grad_() for s in case.state))
    parameters = list(case.cell.parameters())
    again = engines.Recurrence(
        case.cell, x, state, None, case.lengths, case.reset, reverse=case.reverse
    )
    forward, backward = threads or (torch.get_num_threads(),) * 2
    with _threads(forward):
        output, final = engines.run(again, name)
    generator = torch.Generator().manual_seed(4)
    loss = sum(
        (t * torch.randn(t.shape, dtype=t.dtype, generator=generator).to(t.device)).sum()
        for t in (output, *final)
    )
    with _threads(backward):
        gradients = torch.autograd.grad(loss, [x, *state, *parameters], materialize_grads=True)
    return [output, *final, *gradients]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
