"""Cells with matrices of their own run natively, and equal the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from benchmarks.speed._custom import make_cell
from benchmarks.speed._plan import CUSTOM
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import elman
from elman.cells import Cell
from elman.engine import Recurrence, _native, _reference
from unit.engine.linear_cells import CELLS, Multiplicative, Normed, TwoMatrices, Zoneout
from unit.engine.test_native import (
    LARGER_THAN_A_CHUNK,
    OPTIONS,
    SHAPES,
    agree,
    case,
    results,
    share,
)

pytestmark = pytest.mark.unchecked  # thousands of calls of the reference, which has its own tests


def both(wanted: Recurrence) -> tuple[list[Tensor], list[Tensor]]:
    """By the native engine and by the reference, with the same masks."""
    found = []
    for engine in (_native, _reference):
        torch.manual_seed(3)
        found.append(results(engine, wanted))
    return found[0], found[1]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [*SHAPES, *LARGER_THAN_A_CHUNK])
@pytest.mark.parametrize("kind", CELLS)
def test_equals_the_reference(
    kind: type[Cell], shape: tuple[int, int, int, int], threads: int
) -> None:
    share(threads, shape[1])
    for ragged, resets, reverse in OPTIONS:
        wanted = case(kind, shape, ragged=ragged, resets=resets, reverse=reverse)
        agree(*both(wanted), 1e-12)


@pytest.mark.parametrize("name", CUSTOM)
def test_the_cells_of_the_benchmark(name: str) -> None:
    layer = elman.Recurrent(make_cell(name, 3, 5), engine="native")
    x = torch.randn(2, 7, 3)
    assert elman.explain(layer, x).engines == {"native"}


def test_the_program_is_shown() -> None:
    layer, x = elman.Recurrent(TwoMatrices(3, 5)), torch.randn(2, 7, 3)
    shown = str(elman.explain(layer, x, program=True))
    assert "W1 is weight_candidate" in shown
    assert "r2 = i2 + W1[0,0] w0" in shown
    assert elman.explain(layer, x).choices[0].program == ""
    with elman.use_engine("reference"):
        assert elman.explain(layer, x, program=True).choices[0].program == ""


def test_padding_is_inert_whatever_is_in_it() -> None:
    wanted = case(TwoMatrices, (6, 5, 3, 4), ragged=True)
    clean = results(_native, wanted)
    assert wanted.lengths is not None
    wanted.x[torch.arange(6)[:, None] >= wanted.lengths] = float("nan")
    agree(results(_native, wanted), clean, 0)


def test_masks_are_drawn_once_a_call() -> None:
    layer, x = elman.Recurrent(Zoneout(3, 5), engine="native"), torch.randn(2, 7, 3)
    outputs = []
    for engine in ("native", "reference"):
        torch.manual_seed(1)
        with elman.use_engine(engine):
            outputs.append(elman.Recurrent(layer.cell)(x)[0])
    torch.testing.assert_close(*outputs)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def _loss(layer: nn.Module, parameters: Any, x: Tensor) -> Tensor:
    output, _ = torch.func.functional_call(layer, parameters, (x,))
    return output.square().sum()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", [TwoMatrices, Multiplicative])
def test_gradients_of_each_sample(kind: type[Cell]) -> None:
    layer, x = elman.Recurrent(kind(3, 4).double(), engine="native"), torch.randn(3, 5, 3).double()
    parameters = dict(layer.named_parameters())
    gradient = torch.func.grad(lambda p, row: _loss(layer, p, row[None]))
    each = torch.func.vmap(gradient, (None, 0))(parameters, x)
    for i, row in enumerate(x):
        loss = layer(row[None])[0].square().sum()
        expected = torch.autograd.grad(loss, list(parameters.values()))
        for got, right in zip(each.values(), expected, strict=True):
            torch.testing.assert_close(got[i], right)


@pytest.mark.parametrize("kind", [TwoMatrices, Multiplicative, Normed])
def test_gradients_of_gradients(kind: type[Cell]) -> None:
    layer = elman.Recurrent(kind(2, 3).double(), engine="native")
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], x)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_a_tangent() -> None:
    layer, x = elman.Recurrent(TwoMatrices(2, 3).double(), engine="native"), torch.randn(2, 3, 2)
    found = []
    for engine in ("native", "reference"):
        run = elman.Recurrent(layer.cell, engine=engine)
        found.append(torch.func.jvp(lambda x, r=run: r(x)[0], (x.double(),), (x.double(),))[1])
    torch.testing.assert_close(*found)


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated")
@pytest.mark.parametrize("kind", [TwoMatrices, Zoneout])
def test_a_compiled_layer(kind: type[Cell]) -> None:
    layer, x = elman.Recurrent(kind(3, 5), engine="native").eval(), torch.randn(6, 4, 3)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    got, expected = (
        torch.autograd.grad(run(x)[0].square().sum(), list(layer.parameters()))
        for run in (compiled, layer)
    )
    torch.testing.assert_close(got, expected)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], layer(x)[0])


class Wrong(Cell):
    """Multiplies by what it is told."""

    states = ("h",)

    def __init__(self, multiply: Any) -> None:
        super().__init__(3, 4)
        self.of_x, self.of_h = nn.Linear(3, 4), nn.Linear(4, 4)
        self.narrow = nn.Parameter(torch.randn(2, 4))
        self.multiply = multiply

    def project(self, x: Tensor) -> Tensor:
        return self.of_x(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        return self.State(h=inp + self.multiply(self, state.h))


@pytest.mark.parametrize(
    ("multiply", "reason"),
    [
        (lambda c, h: (h @ c.narrow.T) @ c.narrow, r"shape \(2, 4\): expected multiples of the 4"),
        (lambda c, h: h @ (2 * c.of_h.weight), "one number per unit, or one number, or a matrix"),
        (lambda _, h: h @ h.T @ h, "only the cell's own matrices"),
        (lambda c, h: h * c.of_h.weight[0], r"only whole blocks|rows cannot be picked"),
    ],
)
def test_refused_by_name(multiply: Any, reason: str) -> None:
    layer = elman.Recurrent(Wrong(multiply), engine="native")
    with pytest.raises(elman.EngineError, match=reason):
        layer(torch.randn(2, 3, 3))


def test_a_weight_that_is_another_at_each_use_is_refused() -> None:
    cell = Wrong(lambda c, h: c.of_h(h))
    parametrizations.spectral_norm(cell.of_h)
    layer, x = elman.Recurrent(cell), torch.randn(2, 3, 3)
    before = [b.clone() for b in cell.buffers()]
    assert "buffers that this changes" in str(elman.explain(layer, x))
    with torch.no_grad():
        _native.plan(Recurrence(cell, x.transpose(0, 1), cell.initial_state(2)))
    assert all(torch.equal(a, b) for a, b in zip(before, cell.buffers(), strict=True))
    assert elman.explain(layer.eval(), x).engines == {"native"}


def test_what_project_gives_is_checked() -> None:
    class Narrow(Wrong):
        def project(self, x: Tensor) -> Tensor:
            return x[..., :1]

    found = elman.explain(elman.Recurrent(Narrow(lambda _, h: h)), torch.randn(2, 3, 3))
    assert "expected (time, batch, a multiple of the 4 units)" in str(found)
