"""What a step computes of the cell's own numbers alone is computed once per call."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import elman
from elman.cells import Cell, ElementwiseCell
from elman.engine import Recurrence, _native
from elman.engine.compiler._program import Program


class Paced(ElementwiseCell):
    """Numbers per unit and single ones, in expressions that share parts."""

    states = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, hidden_size)
        self.pace = nn.Parameter(torch.randn(hidden_size))
        self.both = nn.Parameter(torch.randn(2 * hidden_size))
        self.scale = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("shift", torch.rand(hidden_size))

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        one, two = torch.tanh(self.both).chunk(2)
        pace = torch.sigmoid(self.pace + self.shift) * F.softplus(self.scale)
        again = torch.sigmoid(self.pace + self.shift)
        h = one * state.h + pace * torch.tanh(inp + two * state.h + self.scale)
        return self.State(h=h * again)


class Cut(Paced):
    """Its gradient is not that of what it computes."""

    def step(self, inp: Tensor, state: Any) -> Any:
        pace = torch.sigmoid(self.pace.detach()) + self.both[: self.hidden_size]
        return self.State(h=torch.tanh(pace * state.h + inp))


class Soft(Paced):
    """A softplus, which torch decomposes into what overflows for large numbers."""

    def step(self, inp: Tensor, state: Any) -> Any:
        pace = torch.exp(-F.softplus(self.pace) / 800)
        return self.State(h=pace * state.h + inp * self.scale)


class Plain(Paced):
    """Nothing but products with its own numbers."""

    def step(self, inp: Tensor, state: Any) -> Any:
        one, two = self.both.chunk(2)
        return self.State(h=self.pace * state.h + one * inp + two + self.scale)


def plan_of(cell: Cell, dtype: torch.dtype = torch.float32) -> Any:
    x = torch.randn(4, 2, 3, dtype=dtype)
    return _native.plan(Recurrence(cell, x, cell.initial_state(2, dtype=dtype)))


def operations(program: Program) -> list[str]:
    routines = (program.forward, program.inference, program.backward)
    return [line.op for routine in routines for line in routine[0].tiles]


def derivatives(cell: Cell, engine: str) -> list[Tensor]:
    """Values, and first and second gradients."""
    torch.manual_seed(1)
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    output, state = elman.Recurrent(cell, engine=engine)(x, lengths=torch.tensor([5, 3]))
    wanted = [x, *cell.parameters()]
    loss = output.sin().sum() + state.h.square().sum()
    first = torch.autograd.grad(loss, wanted, create_graph=True, materialize_grads=True)
    if isinstance(cell, Cut):
        return [output, *first]
    total = sum((g * torch.cos(g.detach())).sum() for g in first)
    return [output, *first, *torch.autograd.grad(total, wanted, materialize_grads=True)]


@pytest.mark.parametrize("kind", [Paced, Cut, Soft, Plain])
def test_equals_the_reference(kind: type[Cell]) -> None:
    cell = kind(3, 4).double()
    for got, expected in zip(
        derivatives(cell, "native"), derivatives(cell, "reference"), strict=True
    ):
        assert expected.isfinite().all()
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_a_large_number_in_a_hoisted_softplus() -> None:
    cell = Soft(3, 4).double()
    derivatives(cell, "native")  # traced with numbers that are not large
    nn.init.constant_(cell.pace, 800.0)
    assert plan_of(cell, torch.float64).program.hoisted.calls
    got, expected = (derivatives(cell, engine) for engine in ("native", "reference"))
    assert all(t.isfinite().all() for t in expected)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_the_step_computes_nothing_of_parameters_alone() -> None:
    plan = plan_of(Paced(3, 4))
    program, hoisted = Program.parse(plan.program.text), plan.program.hoisted
    assert "sigmoid" not in operations(program)
    assert "sigmoid_backward" not in operations(program)
    assert operations(program).count("tanh") == 2  # of the forward and of the inference
    # tanh of each half, the pace, and the sigmoid, which is computed once and read twice.
    assert len(hoisted.results) == 4
    sigmoids = [c for c in hoisted.calls if c.target == "sigmoid.default"]
    assert len(sigmoids) == 1
    assert "units[0] is " in plan.listing()
    assert "sigmoid(add(pace, shift))" in plan.listing()


def test_no_expression_no_change() -> None:
    assert not plan_of(Plain(3, 4)).program.hoisted.calls
    assert not plan_of(elman.cells.LSTM(3, 4)).program.hoisted.calls


def test_a_step_that_cuts_a_gradient_stays_as_it_is() -> None:
    assert not plan_of(Cut(3, 4)).program.hoisted.calls
    assert "sigmoid" in operations(Program.parse(plan_of(Cut(3, 4)).program.text))


def test_a_stream_and_a_change_of_the_weights() -> None:
    layer, x = elman.Recurrent(Paced(3, 4), engine="native"), torch.randn(2, 4, 3)
    for _ in range(2):
        stream = elman.Stream(layer, rows=2, engine="native")
        outputs = torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)
        with elman.use_engine("reference"), torch.no_grad():
            expected, _ = elman.Recurrent(layer.cell)(x)
        torch.testing.assert_close(outputs, expected)
        torch.testing.assert_close(layer(x)[0].detach(), expected)
        with torch.no_grad():
            layer.cell.pace.add_(1)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated")
def test_a_compiled_layer() -> None:
    layer, x = elman.Recurrent(Paced(3, 4), engine="native"), torch.randn(2, 4, 3)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    got, expected = (
        torch.autograd.grad(run(x)[0].square().sum(), list(layer.parameters()))
        for run in (compiled, layer)
    )
    torch.testing.assert_close(got, expected)
