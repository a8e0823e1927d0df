"""Cells of the package torchrecurrent beside ours: the same weights, the same numbers.

A case says how our parameters follow from theirs. Ours run with parameters that are computed in
this way, so that autograd carries our gradients to theirs, and all of them are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import elman
from elman.cells import Cell, by_name

package = pytest.importorskip("torchrecurrent", reason="install the package torchrecurrent")

STEPS, BATCH = 7, 3
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
Tensors = Mapping[str, Tensor]


def stacked(theirs: Tensors) -> dict[str, Tensor]:
    """The parameters of a `PointwiseCell`, which have the names and places of torch.nn's."""
    return dict(theirs)


class Case(NamedTuple):
    """A cell of theirs and ours.

    Attributes:
        kind: the class of theirs.
        carry: our parameters from theirs, both by name.
        states: the names of their state's tensors, as ours are called.
        sizes: of the input and of the state.
        theirs: options of their cell, where the defaults are others.
        ours: options of our cell.
        constant: parameters of theirs that are numbers in the paper and here.
        output: whether theirs puts out something beside its state.
    """

    kind: str
    carry: Callable[[Tensors], Tensors] = stacked
    states: Sequence[str] = ("h",)
    sizes: tuple[int, int] = (4, 6)
    theirs: Mapping[str, Any] = {}
    ours: Mapping[str, Any] = {}
    constant: Sequence[str] = ()
    output: bool = False


Step = Callable[..., tuple[Tensor, ...]]
"""A step as its paper has it: our parameters by name, x_t and the states to the next states."""


class Departure(NamedTuple):
    """What the package has otherwise than the paper: our step is compared with one by hand."""

    equation: str
    place: str
    step: Step


def compare(name: str, case: Case, engine: str, dtype: torch.dtype) -> None:
    """Outputs, final states, and the gradients of input, states and all parameters."""
    torch.manual_seed(0)
    cell = by_name(name)(*case.sizes, **case.ours).to(dtype)
    theirs = getattr(package, f"{case.kind}Cell")(*case.sizes, **case.theirs).to(dtype)
    parameters = dict(theirs.named_parameters())
    for key, parameter in parameters.items():
        if key in case.constant:
            parameter.requires_grad_(False)
        else:  # theirs begin with biases of zero, which would hide a bias that is left out
            torch.nn.init.uniform_(parameter, -0.6, 0.6)
    x, state = _inputs(cell, case.states)
    inputs = [x, *state.values(), *(p for p in parameters.values() if p.requires_grad)]
    expected = _gradients(_theirs(theirs, case, x, state), inputs)
    computed = _gradients(_ours(cell, case.carry(parameters), engine, x, state), inputs)
    torch.testing.assert_close(computed, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def compare_with_paper(name: str, step: Step, engine: str) -> None:
    """The same with a step by hand, in float64."""
    torch.manual_seed(0)
    cell = by_name(name)(4, 6).double()
    x, state = _inputs(cell, cell.states)
    parameters = dict(cell.named_parameters())
    last, outputs = tuple(state.values()), []
    for x_t in x.unbind(1):
        last = step(parameters, x_t, *last)
        outputs.append(last[0])
    inputs = [x, *state.values(), *parameters.values()]
    expected = _gradients([torch.stack(outputs, 1), *last], inputs)
    computed = _gradients(_ours(cell, parameters, engine, x, state), inputs)
    torch.testing.assert_close(computed, expected, rtol=1e-10, atol=1e-10)


def _inputs(cell: Cell, states: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
    dtype = next(cell.parameters()).dtype
    sizes = dict(zip(cell.states, cell.state_sizes, strict=True))
    x = torch.randn(BATCH, STEPS, cell.input_size, dtype=dtype, requires_grad=True)
    return x, {
        key: torch.randn(BATCH, sizes[key], dtype=dtype).mul(0.5).requires_grad_()
        for key in dict.fromkeys(states)
    }


def _theirs(theirs: Any, case: Case, x: Tensor, state: Tensors) -> list[Tensor]:
    """Outputs and final states of their cell in a loop."""
    last, outputs = tuple(state[key] for key in case.states), []
    for x_t in x.unbind(1):
        new = theirs(x_t, last if len(last) > 1 else last[0])
        output, new = new if case.output else (None, new)
        last = new if isinstance(new, tuple) else (new,)
        outputs.append(last[0] if output is None else output)
    return [torch.stack(outputs, 1), *dict(zip(case.states, last, strict=True)).values()]


def _ours(cell: Cell, parameters: Tensors, engine: str, x: Tensor, state: Tensors) -> list[Tensor]:
    """The same of ours, by an engine."""
    layer = elman.Recurrent(cell, engine=engine)
    carried = {f"cell.{key}": tensor for key, tensor in parameters.items()}
    assert carried.keys() == dict(layer.named_parameters()).keys()
    start = cell.initial_state(BATCH)._replace(**state)
    output, final = torch.func.functional_call(layer, carried, (x, start))
    return [output, *(getattr(final, key) for key in state)]


def _gradients(tensors: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """The tensors, and the gradients of a sum of all their numbers, each with its own weight."""
    torch.manual_seed(1)
    loss = torch.stack([(t * torch.randn(t.shape, dtype=t.dtype)).sum() for t in tensors]).sum()
    return [*tensors, *torch.autograd.grad(loss, inputs)]
