"""Threads that share units take an elementwise cell through many steps without waiting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.cells import Cell, PointwiseCell
from elman.engine.runtime import division

pytestmark = pytest.mark.unchecked  # long sequences, which the reference takes step by step


class Oscillator(Cell):
    """Elementwise in two states; what it multiplies is the input alone."""

    states = ("y", "z")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.linear = nn.Linear(input_size, 2 * hidden_size)
        self.weight = nn.Parameter(torch.randn(hidden_size))

    def project(self, x: Tensor) -> Tensor:
        return self.linear(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        drive, gate = inp.chunk(2, -1)
        z = state.z - 0.1 * (torch.tanh(self.weight * state.y + drive) + state.y)
        return self.State(y=state.y + 0.1 * torch.sigmoid(gate) * z, z=z)


class NoRecurrentMatrix(PointwiseCell):
    """Its input is projected by the library, and no gate reads a recurrent product."""

    gates, states = ("z", "n"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        z = torch.sigmoid(inp.z)
        return self.State(h=(1 - z) * state.h + z * inp.n)


class Mean(Oscillator):
    """Nearly elementwise: its units meet in a sum."""

    def step(self, inp: Tensor, state: Any) -> Any:
        new = super().step(inp, state)
        return self.State(y=new.y - new.y.mean(-1, keepdim=True), z=new.z)


@pytest.fixture
def threads() -> Any:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", [Oscillator, NoRecurrentMatrix, Mean])
@pytest.mark.parametrize("ragged", [False, True])
def test_units_are_shared_without_meeting(
    kind: type[Cell], count: int, ragged: bool, threads: Any
) -> None:
    torch.manual_seed(0)
    steps, batch, units = 300, 3, 70  # more than one chunk of steps, and a panel that is not full
    cell = kind(4, units).double()
    x = torch.randn(batch, steps, 4, dtype=torch.float64, requires_grad=True)
    options: dict[str, Any] = {}
    if ragged:
        options = {
            "lengths": torch.tensor([300, 0, 161]),
            "reset": torch.rand(batch, steps) < 0.02,
        }

    def values(engine: str) -> list[Tensor]:
        output, state = elman.Recurrent(cell, engine=engine)(x, **options)
        loss = output.sin().sum() + sum(s.cos().sum() for s in state)
        weights = [p for n, p in cell.named_parameters() if n not in ("weight_hh", "bias_hh")]
        return [output, *state, *torch.autograd.grad(loss, [x, *weights])]

    expected = values("reference")
    threads(count)
    with division(2):
        for mine, theirs in zip(values("native"), expected, strict=True):
            torch.testing.assert_close(mine, theirs)
