"""A batch-first sequence is projected where it lies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import elman
from elman.cells import Cell
from elman.engine import Recurrence


class Leaky(Cell):
    """Elementwise in the state; subclasses project in different ways."""

    states = ("h",)

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.linear = nn.Linear(3, 4)

    def project(self, x: Tensor) -> Tensor:
        return self.linear(x)  # type: ignore[no-any-return]

    def step(self, inp: Tensor, state: Any) -> Any:
        return self.State(h=0.9 * state.h + torch.tanh(inp))


class Functional(Leaky):
    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, weight=self.linear.weight)


class Operator(Leaky):
    def project(self, x: Tensor) -> Tensor:
        return x @ self.linear.weight.t() + torch.matmul(x, self.linear.weight.t())


class Norm(Leaky):
    def project(self, x: Tensor) -> Tensor:
        return F.layer_norm(self.linear(x).relu(), (4,))


class MatrixPerStep(Leaky):
    """A product with three dimensions on both sides, which belongs to the time that it has."""

    def project(self, x: Tensor) -> Tensor:
        scale = torch.arange(1, len(x) + 1, dtype=x.dtype)[:, None, None]
        return torch.matmul(x, scale * self.linear.weight.t())


class MaskPerRow(Leaky):
    """Reads batch and time from the shape of a product."""

    def project(self, x: Tensor) -> Tensor:
        gate = self.linear(x)
        rows = torch.arange(gate.shape[1], dtype=x.dtype)[:, None]
        return gate * rows + torch.arange(gate.shape[0], dtype=x.dtype)[:, None, None]


KINDS = (Leaky, Functional, Operator, Norm, MatrixPerStep, MaskPerRow)


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_layouts_give_the_same(kind: type[Leaky], engine: str) -> None:
    torch.manual_seed(0)
    cell = kind().double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    lengths = torch.tensor([3, 5])
    gradients = []
    for batch_first in (True, False):
        layer = elman.Recurrent(cell, batch_first=batch_first, engine=engine)
        own = (x if batch_first else x.transpose(0, 1).contiguous()).clone().requires_grad_()
        output, state = layer(own, lengths=lengths)
        parameters = [
            p
            for p in cell.parameters()
            if kind not in (Functional, Operator, MatrixPerStep) or p.dim() == 2
        ]
        down = torch.autograd.grad(output.square().sum() + state.h.sum(), [own, *parameters])
        if not batch_first:
            output, down = output.transpose(0, 1), (down[0].transpose(0, 1), *down[1:])
        gradients.append([output, state.h, *down])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 5])])
@pytest.mark.parametrize("kind", [Leaky, Functional, Operator])
def test_a_projection_lies_as_its_input(kind: type[Leaky], lengths: Tensor | None) -> None:
    x = torch.randn(2, 5, 3)
    r = Recurrence(kind(), x.transpose(0, 1), None, lengths=lengths)
    assert r.projected().transpose(0, 1).is_contiguous()
    assert Recurrence(kind(), x.transpose(0, 1).contiguous(), None).projected().is_contiguous()
