"""Matrix products that are added to each other, in a step: none starts from one made beside it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from elman.cells import PointwiseCell
from elman.engine import _native, _reference
from elman.layers import Recurrent
from unit.engine.test_native import case, results, share


class TwoGates(PointwiseCell):
    """The sum of two recurrent gates, which have one source."""

    gates, states = ("a", "b"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.b + torch.sin(rec.a + rec.b)))


class ThreeGates(PointwiseCell):
    gates, states = ("a", "b", "c"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(rec.a + rec.b + rec.c + inp.b))


class TwoSources(PointwiseCell):
    """A matrix on another state: its product may start from one of W_hh, but not the reverse."""

    gates, states = ("a", "b"), ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.memory = nn.Parameter(0.3 * torch.randn(hidden_size, hidden_size))

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        of_memory = state.c @ self.memory.t()
        h = torch.tanh(torch.sin(self.sum(of_memory, rec.a)) + inp.a)
        return self.State(h=h, c=torch.tanh(rec.b + of_memory * h))

    def sum(self, of_memory: Any, of_output: Any) -> Any:
        return of_output + of_memory


class Reversed(TwoSources):
    def sum(self, of_memory: Any, of_output: Any) -> Any:
        return of_memory + of_output


class Once(TwoSources):
    """As TwoSources, but each product is used once, so that they can be fused."""

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        h = torch.tanh(torch.sin(self.sum(state.c @ self.memory.t(), rec.a)) + inp.a)
        return self.State(h=h, c=torch.tanh(rec.b + inp.b))


class OnceReversed(Once):
    def sum(self, of_memory: Any, of_output: Any) -> Any:
        return of_memory + of_output


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(4, 3, 5, 7), (2, 2, 20, 33), (3, 20, 4, 16)])
@pytest.mark.parametrize("kind", [TwoGates, ThreeGates, TwoSources, Reversed, Once, OnceReversed])
def test_outputs_and_gradients_are_the_references(
    kind: Any, sizes: tuple[int, int, int, int], dtype: torch.dtype, threads: int
) -> None:
    torch.manual_seed(0)
    share(threads, sizes[1])
    r = case(kind, sizes, dtype=dtype)
    with torch.no_grad():  # a bias that is lost must not be a small one
        for bias in (r.cell.bias_ih, r.cell.bias_hh):
            bias.normal_()
    for ours, right in zip(results(_native, r), results(_reference, r), strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-4, atol=1e-5)


class Constant(PointwiseCell):
    """A step through which no gradient flows; its gradient once wrote beyond a row register."""

    gates, states = ("a",), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.where(inp.a + rec.a > 0, 1.0, 0.5).to(inp.a.dtype))


@pytest.mark.parametrize("sizes", [(3, 4, 5, 7), (20, 3, 4, 16)])
def test_a_step_without_a_gradient(sizes: tuple[int, int, int, int]) -> None:
    batch, steps, inputs, units = sizes
    cell, x = Constant(inputs, units), torch.randn(batch, steps, inputs, requires_grad=True)
    ours, theirs = (Recurrent(cell, engine=name)(x)[0] for name in ("native", "reference"))
    torch.testing.assert_close(ours, theirs)
    if ours.requires_grad:
        ours.sum().backward()
    for t in (x, *cell.parameters()):
        assert t.grad is None or not t.grad.any()
