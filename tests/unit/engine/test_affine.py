"""Linear cells whose matrix products come first: the gates are part of the native program."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.cells import LinearCell
from elman.engine import Recurrence, _native
from elman.engine.compiler._program import Program
from elman.testing import check_engine

FACTOR = 2.0


class Gated(LinearCell):
    """Elementwise gates, and an output that is elementwise, too."""

    states = ("h", "c")
    retention = "forget"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.unused = nn.Linear(input_size, hidden_size)
        self.bias = nn.Parameter(torch.randn(hidden_size))

    def affine(self, x: Tensor) -> Any:
        return self.unused(x), self.input(x)

    def coefficients(self, unused: Tensor, gates: Tensor) -> Any:
        f, z = gates.chunk(2, -1)
        return torch.sigmoid(f + self.bias), torch.sigmoid(-f) * z, torch.tanh(unused)

    def output(self, c: Tensor, gate: Tensor) -> Tensor:
        return FACTOR * gate * c


class Mixed(Gated):
    """An output with a matrix, of what :meth:`coefficients` computes."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.mix = nn.Linear(hidden_size, hidden_size)

    def output(self, c: Tensor, gate: Tensor) -> Tensor:
        return self.mix(c) * gate


class Turned(LinearCell):
    """Two linear states, and an output that no program can have: its matrix has seven rows."""

    states = ("h", "re", "im")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.skip = nn.Linear(input_size, hidden_size)
        self.angle = nn.Parameter(torch.rand(hidden_size))
        self.down, self.up = nn.Linear(2 * hidden_size, 7), nn.Linear(7, hidden_size)

    def affine(self, x: Tensor) -> Any:
        return self.input(x), self.skip(x)

    def coefficients(self, b: Tensor, skip: Tensor) -> Any:
        return torch.polar(torch.full_like(self.angle, 0.9), self.angle), b.chunk(2, -1), skip

    def output(self, re: Tensor, im: Tensor, skip: Tensor) -> Tensor:
        return self.up(torch.tanh(self.down(torch.cat([re, im], -1)))) + skip


class Split(Turned):
    """The same with coefficients in parts, and a matrix that a program can have."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.down, self.up = nn.Identity(), nn.Linear(2 * hidden_size, hidden_size)

    def coefficients(self, b: Tensor, skip: Tensor) -> Any:
        return (0.9 * torch.cos(self.angle), 0.9 * torch.sin(self.angle)), b.chunk(2, -1), skip


@pytest.mark.unchecked
@pytest.mark.parametrize("engine", ["native", "parallel"])
@pytest.mark.parametrize("kind", [Gated, Mixed, Split])
def test_equals_the_reference(kind: type[LinearCell], engine: str) -> None:
    check_engine(engine, lambda: kind(3, 5), cases=4)


def plan_of(cell: LinearCell) -> Any:
    return _native.plan(Recurrence(cell, torch.randn(6, 2, 3), cell.initial_state(2)))


def test_no_coefficient_is_stored() -> None:
    plan = plan_of(elman.cells.MinGRU(3, 5))
    program = Program.parse(plan.program.text)
    assert program.inputs == (2,)  # the projection, and neither a nor b
    assert any(line.op == "sigmoid" for line in program.forward[0].tiles)


def test_an_output_with_a_matrix_is_no_part_of_the_program() -> None:
    for cell in (Mixed(3, 5), Split(3, 5), elman.cells.LRU(3, 5), elman.cells.LinOSS(3, 5)):
        plan = plan_of(cell)
        assert isinstance(plan, _native.NativeLinearPlan)
        program = Program.parse(plan.program.text)
        assert not program.matrices
        assert len(program.inputs) == 1  # what the output alone needs is not copied
    assert not isinstance(plan_of(Gated(3, 5)), _native.NativeLinearPlan)


@pytest.mark.unchecked
def test_second_gradients() -> None:
    x = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)
    layer = elman.Recurrent(Split(2, 2).double(), engine="native")
    parameters = [layer.cell.input.weight, layer.cell.angle, layer.cell.up.weight]
    assert torch.autograd.gradgradcheck(lambda x, *_: layer(x)[0], (x, *parameters))


def test_a_stream_steps_the_whole_cell() -> None:
    layer, x = elman.Recurrent(Split(3, 5)), torch.randn(2, 4, 3)
    stream = elman.Stream(layer, rows=2, engine="native")
    outputs = [stream(x_t) for x_t in x.unbind(1)]
    torch.testing.assert_close(torch.stack(outputs, 1), layer(x)[0].detach())


def test_what_coefficients_and_output_read_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = elman.Recurrent(Gated(3, 5), engine="native"), torch.randn(2, 4, 3)
    before = layer(x)[0]
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    torch.testing.assert_close(layer(x)[0], 1.5 * before)


def test_a_decay_is_watched_for_each_row() -> None:
    layer, x = elman.Recurrent(Mixed(3, 5), engine="native"), torch.randn(2, 4, 3)
    output, _, observed = layer(x, observe=True)
    torch.testing.assert_close(output, layer(x)[0])
    gates = layer.cell.input(x)[..., :5]
    torch.testing.assert_close(observed["forget"], torch.sigmoid(gates + layer.cell.bias))
