"""The loop over time, against a plain loop over rows and steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import elman
from elman.cells import GRU, LSTM, watching


def _row_by_row(
    layer: Any, x: Tensor, state: Any, lengths: list[int], reset: Tensor
) -> tuple[Tensor, list[Any]]:
    """The semantics in the words of the issue, one row and one step at a time."""
    cell, start = layer.cell, layer.initial_state(1)
    output = torch.zeros(*x.shape[:2], cell.output_size, dtype=x.dtype)
    finals = []
    for b, length in enumerate(lengths):
        s = cell.State(*(each[b : b + 1] for each in state))
        steps = list(range(length))
        for t in reversed(steps) if layer.reverse else steps:
            # forwards a segment begins at its reset; backwards it ends there
            boundary = reset[b, t] if not layer.reverse else (t + 1 < length and reset[b, t + 1])
            if boundary:
                s = start
            s = cell.step(cell.project(x[b : b + 1, t]), s)
            output[b, t] = s[0][0]
        finals.append(s)
    return output, finals


@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    reverse=st.booleans(),
    learned=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_lengths_resets_and_direction(
    lengths: list[int], reverse: bool, learned: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    cell = LSTM(2, 3).double()
    layer = elman.Recurrent(cell, reverse=reverse, learn_initial_state=learned)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    batch, x = len(lengths), torch.randn(len(lengths), 6, 2, dtype=torch.float64)
    state = cell.State(*(torch.randn(batch, 3, dtype=torch.float64) for _ in range(2)))
    reset = torch.rand(batch, 6) < 0.4
    output, final = layer(x, state, lengths=torch.tensor(lengths), reset=reset)
    expected, finals = _row_by_row(layer, x, state, lengths, reset)
    assert torch.allclose(output, expected)
    for b, s in enumerate(finals):
        assert torch.allclose(final.h[b], s.h[0])
        assert torch.allclose(final.c[b], s.c[0])


def test_a_reset_stops_the_gradient() -> None:
    layer, x = elman.Recurrent(GRU(2, 3)), torch.randn(1, 5, 2, requires_grad=True)
    reset = torch.tensor([[False, False, True, False, False]])
    (gradient,) = torch.autograd.grad(layer(x, reset=reset)[0][:, -1].sum(), x)
    assert (gradient[0, :2] == 0).all()
    assert (gradient[0, 2:] != 0).any(-1).all()


def test_reset_at_the_first_step_forgets_the_given_state() -> None:
    layer, x = elman.Recurrent(GRU(2, 3)), torch.randn(2, 4, 2)
    reset = torch.zeros(2, 4, dtype=torch.bool)
    reset[0, 0] = True
    given_state = layer.cell.State(torch.randn(2, 3))
    output = layer(x, given_state, reset=reset)[0]
    assert torch.equal(output[0], layer(x)[0][0])
    assert torch.equal(output[1], layer(x, given_state)[0][1])


def test_observe_returns_every_gate_and_state() -> None:
    layer, x = elman.Recurrent(LSTM(2, 3)), torch.randn(2, 5, 2)
    output, final, seen = layer(x, observe=True)
    assert sorted(seen) == ["c", "forget", "h", "output", "store"]
    assert all(value.shape == (2, 5, 3) for value in seen.values())
    assert torch.equal(seen["h"], output)
    assert torch.equal(seen["c"][:, -1], final.c)
    z = layer.cell.project(x[:, 0])[:, 3:6] + layer.cell.bias_hh[3:6]
    assert torch.allclose(seen["forget"][:, 0], torch.sigmoid(z), atol=1e-6)


def test_observed_states_carry_the_gradient_through_time() -> None:
    layer, x = elman.Recurrent(GRU(2, 3)), torch.randn(1, 5, 2)
    *_, seen = layer(x, observe=True)
    assert seen["update"].requires_grad


def test_observed_in_the_order_of_time_when_reversed() -> None:
    layer = elman.Recurrent(GRU(2, 3), reverse=True)
    output, _, seen = layer(torch.randn(2, 5, 2), observe=True)
    assert torch.equal(seen["h"], output)


def test_nobody_watches_outside() -> None:
    cell = LSTM(2, 3)
    with watching() as seen:
        cell.step(cell.project(torch.randn(1, 2)), cell.initial_state(1))
        with watching() as inner:
            pass
    kept = dict(seen)
    cell.step(cell.project(torch.randn(1, 2)), cell.initial_state(1))
    assert seen.keys() == kept.keys() == {"store", "forget", "output"}
    assert inner == {}


def test_no_steps_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="at least one time step"):
        elman.Recurrent(GRU(2, 3))(torch.randn(2, 0, 2))


def test_projections_may_be_named_tuples() -> None:
    class Leaky(elman.cells.Cell):
        states = ("h",)

        def __init__(self) -> None:
            super().__init__(2, 2)

        def project(self, x: Tensor) -> Any:
            return LSTM.State(h=x * 3, c=x.sigmoid())

        def step(self, inp: Any, state: Any) -> Any:
            return self.State(inp.c * state.h + inp.h)

    x = torch.randn(1, 2, 2)
    expected = x[:, 1].sigmoid() * 3 * x[:, 0] + 3 * x[:, 1]
    assert torch.allclose(elman.Recurrent(Leaky())(x)[1].h, expected)


def test_a_row_that_has_ended_steps_no_further() -> None:
    """One step more would overflow, and 0 times infinity in the backward is NaN."""

    class Explodes(elman.cells.PointwiseCell):
        gates, states = ("z",), ("h",)

        def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
            return self.State(torch.exp(state.h))

    layer = elman.Recurrent(Explodes(1, 1))
    start = torch.tensor([[0.0], [-9.0]], requires_grad=True)
    output, _ = layer(torch.zeros(2, 5, 1), start, lengths=torch.tensor([4, 5]))
    assert torch.exp(output[0, 3]).isinf().all()
    output.sum().backward()
    assert start.grad is not None
    assert start.grad.isfinite().all()
