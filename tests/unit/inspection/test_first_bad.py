"""The first NaN or infinity: planted at a known place, and found there."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman._errors import ConfigError
from elman.cells import GRU, LSTM, Elman, PointwiseCell
from elman.inspection import first_bad
from elman.layers import Bidirectional, Recurrent, Stack

X = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))


class Grows(PointwiseCell):
    """Its gate b is an exponential."""

    gates, states = ("a", "b"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        b = torch.exp(inp.b + rec.b)
        return self.State(h=torch.tanh(inp.a + rec.a) / (1 + b))


class Rooted(PointwiseCell):
    """Its output is fine, and its gradient is not."""

    gates, states = ("a", "b"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        return self.State(h=torch.tanh(inp.a + rec.a) + torch.sqrt((inp.b - inp.b) * 0))


class Split(PointwiseCell):
    """A quotient that is 0 / 0 where its input is 0."""

    gates, states = ("a", "b"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        share = inp.b / inp.b
        return self.State(h=torch.tanh(inp.a + rec.a) * share)


def split(**options: Any) -> Recurrent:
    return Recurrent(Split(3, 4, bias=False), **options)


def test_nothing_is_found_where_all_is_finite() -> None:
    for layer in (Stack(Recurrent(LSTM(3, 4)), Recurrent(GRU(4, 4))), elman.RNN(3, 4)):
        assert first_bad(layer, X) is None


@pytest.mark.parametrize("reverse", [False, True])
def test_layer_step_gate_row_and_operation(reverse: bool) -> None:
    bad = first_bad(split(reverse=reverse), zeros_at(X, rows=(1, 3), step=5))
    assert bad is not None
    assert (bad.value, bad.source, bad.name) == ("nan", "operation", "div")
    assert (bad.layer, bad.step, bad.gate, bad.rows) == ("Recurrent", 5, "b", (1, 3))
    assert bad.line.endswith("share = inp.b / inp.b")
    assert str(bad).startswith(
        "the first NaN arises in div of Recurrent, step 5, gate b, rows 1, 3"
    )


def zeros_at(x: Tensor, rows: tuple[int, ...], step: int) -> Tensor:
    x = x.clone()
    x[list(rows), step] = 0
    return x


def test_the_one_that_was_computed_first_is_named() -> None:
    x = zeros_at(zeros_at(X, (0,), 2), (2,), 4)
    forwards, backwards = (first_bad(split(reverse=r), x) for r in (False, True))
    assert forwards is not None
    assert backwards is not None
    assert (forwards.step, forwards.rows) == (2, (0,))
    assert (backwards.step, backwards.rows) == (4, (2,))


def test_padding_is_no_finding() -> None:
    layer, lengths = split(), torch.tensor([7, 5, 0, 1])  # 0 / 0 where there is no input
    x = X.clone()
    x[1, 5:] = math.nan
    assert first_bad(layer, x, lengths=lengths) is None
    bad = first_bad(layer, zeros_at(x, (0,), 3), lengths=lengths)
    assert bad is not None
    assert (bad.source, bad.step, bad.rows) == ("operation", 3, (0,))
    bad = first_bad(layer, zeros_at(x, (3,), 0), lengths=torch.tensor([1, 0, 0, 1]))
    assert bad is not None
    assert bad.rows == (3,)


def test_an_infinity_that_vanishes_again_is_no_finding() -> None:
    layer = Recurrent(Grows(3, 4))
    x = X.clone()
    x[1, 4] = 1e4
    with torch.no_grad():
        layer.cell.weight_ih.abs_()
    with torch.no_grad():
        assert torch.isfinite(layer(x)[0]).all()
    bad = first_bad(layer, x)  # 1 / inf is 0, but its gradient is 0 * inf
    assert bad is not None
    assert (bad.value, bad.name, bad.step, bad.gate, bad.rows) == ("inf", "exp", 4, "b", (1,))
    assert not bad.backward


def test_a_mask_of_infinities_is_meant() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = split()

        def forward(self, x: Tensor, keep: Tensor) -> Tensor:
            h, _ = self.layer(x)
            scores = h.sum(-1).masked_fill(~keep, -math.inf)
            return scores.softmax(-1)

    model, keep = Attends(), torch.ones(4, 7, dtype=torch.bool)
    keep[:, 3] = False
    assert first_bad(model, X, keep=keep) is None
    keep[2] = False
    bad = first_bad(model, X, keep=keep)
    assert bad is not None
    assert (bad.value, bad.name, bad.layer, bad.step) == ("nan", "_softmax", "", None)


def test_a_gradient_is_followed_into_the_scan() -> None:
    bad = first_bad(Stack(Recurrent(GRU(3, 3)), Recurrent(Rooted(3, 4))), X)
    assert bad is not None
    assert bad.backward
    assert (bad.layer, bad.step) == ("layers.1", 6)
    assert "torch.sqrt(" in bad.line
    assert "in the gradient of" in str(bad)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_data_and_weights_are_told_apart(value: float) -> None:
    x, layer = X.clone(), Bidirectional(Elman(3, 4), LSTM(3, 4))
    x[2, 3, 1] = value
    bad = first_bad(layer, x)
    assert bad is not None
    assert (bad.source, bad.index) == ("data", (2, 3, 1))
    assert bad.value == ("nan" if math.isnan(value) else "inf")
    assert first_bad(layer, x, lengths=torch.tensor([7, 7, 3, 0])) is None
    with torch.no_grad():
        layer.directions[1].cell.weight_hh[5, 2] = value
    bad = first_bad(layer, X)
    assert bad is not None
    assert (bad.source, bad.name) == ("weight", "directions.1.cell.weight_hh")
    assert bad.index == (5, 2)


def test_of_a_product_the_gate_is_that_of_its_columns() -> None:
    layer = Recurrent(Split(3, 4))  # of which 0 / inf is no number
    with torch.no_grad():
        layer.cell.weight_hh.view(2, 4, 4)[0] = 3e38
        layer.cell.bias_ih.view(2, 4)[0] = 9.0  # so that h_1 is 1, and the sum of four too large
        layer.cell.weight_hh.view(2, 4, 4)[1] = 0
    bad = first_bad(layer, X)
    assert bad is None  # tanh(inf) is 1
    layer = Recurrent(Grows(3, 4))
    with torch.no_grad():
        layer.cell.weight_hh.view(2, 4, 4)[1] = -3e38
        layer.cell.bias_ih.view(2, 4)[0], layer.cell.bias_ih.view(2, 4)[1] = -9.0, -99.0
    bad = first_bad(layer, X)
    assert bad is not None
    assert (bad.name, bad.gate, bad.layer, bad.step) == ("addmm", "b", "Recurrent", 1)


def test_drop_in_layers_and_half_precision() -> None:
    lstm, x = elman.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True), X.clone()
    with torch.no_grad():
        lstm.weight_hh_l1_reverse[0, 0] = math.nan
    bad = first_bad(lstm, x)
    assert bad is not None
    assert (bad.source, bad.name) == ("weight", "weight_hh_l1_reverse")
    layer = split().bfloat16()
    bad = first_bad(layer, zeros_at(X, (3,), 2).bfloat16())
    assert bad is not None
    assert (bad.step, bad.rows) == (2, (3,))


def test_with_a_loss_of_ones_own_and_what_cannot_be_seen() -> None:
    layer = Recurrent(GRU(3, 4))
    bad = first_bad(layer, X, lambda h: (h - h).sum().log())
    assert bad is not None
    assert (bad.value, bad.name, bad.layer, bad.step) == ("inf", "log", "", None)
    assert bad.line.endswith("(h - h).sum().log())")
    with pytest.raises(ConfigError, match="cannot be recorded"):
        first_bad(nn.LSTM(3, 4), X)


def test_it_leaves_no_gradients_and_no_hooks() -> None:
    layer = Recurrent(GRU(3, 4))
    first_bad(layer, X)
    assert all(p.grad is None for p in layer.parameters())
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks
