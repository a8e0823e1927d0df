"""Second derivatives where the step's own gradient is not that of its operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.cells import GRU, LSTM, Elman, PointwiseCell
from elman.engine import Recurrence, _native, run
from elman.engine.compiler._program import Program
from unit.engine.own_cells import CELLS


class OneGate(PointwiseCell):
    gates, states = ("z",), ("h",)


class Detached(OneGate):
    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        a = torch.tanh(inp.z + rec.z)
        return self.State(h=a * a.detach())


class WithoutGrad(OneGate):
    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        with torch.no_grad():
            gate = torch.sigmoid(rec.z)
        return self.State(h=torch.tanh(inp.z + rec.z) * gate)


class Reversed(torch.autograd.Function):
    """The gradient of another function."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # noqa: ARG004 - as torch calls it
        return -0.5 * g


class OfItsOwn(OneGate):
    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.z + Reversed.apply(rec.z)))


class Memoryless(OneGate):
    """Nothing flows back through time."""

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.z))


class Broadcast(OneGate):
    """A state that is one number for all units of a row."""

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        mean = (inp.z + rec.z).mean(-1, keepdim=True)
        return self.State(h=torch.tanh(mean).expand_as(inp.z))


CUT = [Detached, WithoutGrad, OfItsOwn]
WHOLE = [Elman, LSTM, GRU, *CELLS, Memoryless, Broadcast]


def recurrence(kind: Any) -> tuple[Any, Tensor, Any]:
    torch.manual_seed(0)
    cell = kind(3, 5).double()
    x = torch.randn(6, 4, 3, dtype=torch.float64, requires_grad=True)
    state = cell.State(*(torch.randn(4, 5, dtype=torch.float64) for _ in cell.states))
    return cell, x, state


def first(kind: Any, engine: str, **options: Any) -> tuple[list[Tensor], list[Tensor]]:
    cell, x, state = recurrence(kind)
    for s in state:
        s.requires_grad_()
    output, _ = run(Recurrence(cell, x, state), engine)
    inputs = [x, *state, *cell.parameters()]
    return inputs, list(
        torch.autograd.grad(output.square().sum(), inputs, materialize_grads=True, **options)
    )


@pytest.mark.parametrize("kind", [*CUT, *WHOLE])
def test_first_gradients_are_right(kind: Any) -> None:
    for ours, right in zip(first(kind, "native")[1], first(kind, "reference")[1], strict=True):
        torch.testing.assert_close(ours, right)


@pytest.mark.parametrize("kind", WHOLE)
def test_second_gradients_are_right_where_nothing_is_cut(kind: Any) -> None:
    results = []
    for engine in ("native", "reference"):
        inputs, gradients = first(kind, engine, create_graph=True)
        total = torch.stack([g.square().sum() for g in gradients]).sum()
        results.append(torch.autograd.grad(total, inputs, materialize_grads=True))
    for ours, right in zip(*results, strict=True):
        torch.testing.assert_close(ours, right)


@pytest.mark.parametrize("kind", CUT)
def test_second_gradients_are_refused_where_something_is_cut(kind: Any) -> None:
    inputs, (gradient, *_) = first(kind, "native", create_graph=True)
    with pytest.raises(
        elman.EngineError, match=r'cuts a gradient .*elman.use_engine\("reference"\)'
    ):
        torch.autograd.grad(gradient.square().sum(), inputs, allow_unused=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
@pytest.mark.parametrize("kind", CUT)
def test_so_are_forward_mode_derivatives(kind: Any) -> None:
    cell, x, state = recurrence(kind)
    x = x.detach()

    def outputs(x: Tensor) -> Tensor:
        return run(Recurrence(cell, x, state), "native")[0]

    with pytest.raises(elman.EngineError, match="cuts a gradient"):
        torch.func.jvp(outputs, (x,), (torch.ones_like(x),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [*CUT, *WHOLE])
def test_the_program_says_so(kind: Any, dtype: torch.dtype) -> None:
    cell, x, state = recurrence(kind)
    r = Recurrence(cell.to(dtype), x.to(dtype), cell.State(*(s.to(dtype) for s in state)))
    plan = _native.plan(r)
    assert not isinstance(plan, str)
    assert Program.parse(plan.program.text).once == (kind in CUT)
