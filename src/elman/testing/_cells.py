"""The contracts of cells."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from elman.cells import Cell
from elman.layers import Recurrent
from elman.testing._base import ContractError, expect

MakeCell = Callable[[], Cell]
Contract = Callable[[MakeCell], None]


def make_cell(make: MakeCell, dtype: torch.dtype = torch.float64) -> Cell:
    torch.manual_seed(0)
    return make().to(dtype)


def sequences(
    cell: Cell, steps: int = 5, batch: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Any]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, steps, cell.input_size, dtype=dtype, generator=generator)
    state = (
        torch.randn(batch, s, dtype=dtype, generator=generator) * 0.5 for s in cell.state_sizes
    )
    device = next(cell.parameters(), x).device
    return x.to(device), cell.State(*(s.to(device) for s in state))


def close(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-11)
    return all(map(close, a, b))


def scan_is_the_fold_of_step(make: MakeCell) -> None:
    """A layer's outputs are those of its cell's step, taken one by one."""
    layer = Recurrent(make_cell(make))
    x, state = sequences(layer.cell)
    steps = x.unbind(1)
    states = list(accumulate(steps, lambda s, x_t: layer.step(x_t, s)[1], initial=state))[1:]
    output, final = layer(x, state)
    expect(close(output, torch.stack([s[0] for s in states], 1)), "the scan is the fold of step")
    expect(close(final, states[-1]), "the final state is the last step's")


def whole_is_its_chunks(make: MakeCell) -> None:
    """Any two chunks, the state carried between them, give what the whole gives."""
    layer = Recurrent(make_cell(make))
    x, state = sequences(layer.cell)
    output, final = layer(x, state)
    for cut in range(1, x.shape[1]):
        first, between = layer(x[:, :cut], state)
        second, last = layer(x[:, cut:], between)
        expect(
            close(output, torch.cat([first, second], 1)) and close(final, last),
            f"the whole equals its two chunks cut at {cut}",
        )


def rows_are_independent(make: MakeCell) -> None:
    """A row gives the same alone, and among others in another order."""
    layer = Recurrent(make_cell(make))
    x, state = sequences(layer.cell)
    output, _ = layer(x, state)
    for rows in ([1], [2, 0, 1]):
        some = layer.cell.State(*(s[rows] for s in state))
        expect(close(layer(x[rows], some)[0], output[rows]), "rows are independent")


def units_are_independent(make: MakeCell) -> None:
    """Where a cell calls its recurrence elementwise or linear, no unit depends on another one."""
    cell = make_cell(make)
    if cell.recurrence == "dense":
        return
    x, state = sequences(cell)
    inp = cell.project(x[:, 0])
    # The first state may be an output, which never comes back.
    names = cell.states[1:] if cell.recurrence == "linear" and state[1:] else cell.states
    before = cell.step(inp, state)
    for unit in range(cell.hidden_size):
        moved = cell.State(*(s + (torch.arange(s.shape[1]) == unit) for s in state))
        after = cell.step(inp, moved)
        for name in names:
            others = torch.arange(cell.hidden_size) != unit
            same = close(getattr(after, name)[:, others], getattr(before, name)[:, others])
            expect(same, f"each unit of {name} depends on itself alone ({cell.recurrence})")


def padding_is_inert(make: MakeCell) -> None:
    """Steps past a row's length change nothing, whatever they hold; not even a gradient."""
    layer = Recurrent(make_cell(make))
    x, state = sequences(layer.cell)
    lengths = torch.tensor([5, 0, 2])
    padded = x.clone()
    padded[1], padded[2, 2:] = torch.nan, torch.inf
    output, final = layer(padded, state, lengths=lengths)
    expect(bool((output[1] == 0).all() and (output[2, 2:] == 0).all()), "output is 0 at padding")
    expect(close([s[1] for s in final], [s[1] for s in state]), "an empty row keeps its state")
    short = layer.cell.State(*(s[2:] for s in state))
    alone, alone_final = layer(x[2:, :2], short)
    expect(close(output[2:, :2], alone), "padding changes no output")
    expect(close([s[2:] for s in final], alone_final), "padding changes no state")
    weights = [p for p in layer.parameters() if p.requires_grad]
    with_padding = torch.autograd.grad(output[2].sum(), weights, allow_unused=True)
    without = torch.autograd.grad(alone.sum(), weights, allow_unused=True)
    pairs = [(a, b) for a, b in zip(with_padding, without, strict=True) if b is not None]
    expect(all(a is not None and close(a, b) for a, b in pairs), "padding changes no gradient")


def gradients_are_right(make: MakeCell) -> None:
    """Autograd agrees with finite differences for input, state and every parameter."""
    layer = Recurrent(make_cell(make))
    x, state = sequences(layer.cell, steps=3, batch=2)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        parameters = dict(zip(names, tensors[len(state) :], strict=True))
        inputs = (x, layer.cell.State(*tensors[: len(state)]))
        output, final = torch.func.functional_call(layer, parameters, inputs)
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
    x, state = sequences(first.cell)
    second.load_state_dict(first.state_dict())
    expect(close(first(x, state)[0], second(x, state)[0]), "the state_dict holds the whole cell")


def dtype_follows_the_input(make: MakeCell) -> None:
    """A cell moved to a dtype computes, and returns, in it."""
    for dtype in (torch.float32, torch.float64):
        cell = make_cell(make, dtype)
        try:
            output, final = Recurrent(cell)(sequences(cell, dtype=dtype)[0])
        except RuntimeError as error:
            raise ContractError(f"the cell computes in {dtype}: {error}") from None
        expect(all(t.dtype == dtype for t in (output, *final)), f"the dtype stays {dtype}")


def deterministic_given_a_seed(make: MakeCell) -> None:
    """The same seed gives the same numbers, and a copy gives what the original gives."""
    outputs = []
    for _ in range(2):
        cell = make_cell(make)
        x, state = sequences(cell)
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
    units_are_independent,
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

    Raises:
        ContractError: says which contract is broken.

    Example:
        >>> import elman
        >>> check_cell(lambda: elman.cells.GRU(2, 3))
    """
    for contract in CELL_CONTRACTS:
        contract(make)
