"""Gates: shares, time constants, dead and saturated units, against values that are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import elman
from elman._errors import ConfigError
from elman.cells import GRU, LSTM, Elman, PointwiseCell, Projected
from elman.inspection import gates
from elman.layers import Bidirectional, Recurrent, Stack

X = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([7, 3, 0, 5])


class Leaky(PointwiseCell):
    gates, states = ("z", "leak"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        keep = torch.sigmoid(inp.leak + rec.leak)
        self.watch(keep=keep, wide=3 * keep)
        return self.State(h=keep * state.h + (1 - keep) * torch.tanh(inp.z + rec.z))


def fixed(cell: PointwiseCell, biases: list[float]) -> Recurrent:
    """Gates that depend on nothing but a bias for each."""
    with torch.no_grad():
        for p in cell.parameters():
            p.zero_()
        cell.bias_ih.view(len(biases), -1)[:] = torch.tensor(biases)[:, None]
    return Recurrent(cell)


def test_of_gates_that_are_known() -> None:
    layer = fixed(LSTM(3, 5), [-9.0, 3.0, 1.0, 9.0])
    found = gates(layer, X)
    store, forget, output = found.gates
    assert (store.name, forget.name, output.name) == ("store", "forget", "output")
    f = 1 / (1 + math.exp(-3.0))
    assert torch.allclose(forget.mean, torch.full((7,), f))
    assert torch.allclose(forget.time_constant, torch.full((5,), 1 / (1 - f)), rtol=1e-4)
    assert store.time_constant is None
    assert store.low.eq(1).all()
    assert output.high.eq(1).all()
    assert forget.high.eq(1).all()  # 0.95
    assert store.saturated.all()
    assert forget.histogram[19] == 1
    assert torch.allclose(forget.quantiles, torch.tensor(f))
    middle = gates(fixed(GRU(3, 5), [0.0, 0.0, 0.0]), X).gate("update")
    assert (float(middle.low.max()), float(middle.high.max())) == (0, 0)
    assert not middle.saturated.any()
    assert torch.allclose(middle.time_constant, torch.tensor(2.0))


def test_they_are_those_that_observe_shows_at_real_steps_only() -> None:
    layer = Recurrent(GRU(3, 4))
    *_, seen = layer(X, lengths=LENGTHS, observe=True)
    found = gates(layer, X, lengths=LENGTHS).gate("reset")
    for t in range(7):
        real = seen["reset"][t < LENGTHS, t]
        assert found.mean[t] == pytest.approx(float(real.detach().mean()), rel=1e-5)
    whole = torch.cat([seen["reset"][b, :n] for b, n in enumerate(LENGTHS)]).detach()
    torch.testing.assert_close(found.unit_mean, whole.mean(0))
    torch.testing.assert_close(
        found.quantiles[6],
        seen["reset"][0, 6].detach().quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])),
    )


def test_steps_without_a_real_row_are_nan() -> None:
    found = gates(Recurrent(GRU(3, 4)), X, lengths=torch.tensor([2, 1, 0, 0]))
    assert found.gate("update").mean.isnan().tolist() == [False] * 2 + [True] * 5
    none = gates(Recurrent(GRU(3, 4)), X, lengths=torch.zeros(4, dtype=torch.long))
    assert none.gate("update").unit_mean.isnan().all()
    assert not none.states[0].dead.any()


def test_dead_and_saturated_units_of_states() -> None:
    layer = Recurrent(Elman(3, 4, "relu"))
    with torch.no_grad():
        layer.cell.bias_ih[:] = torch.tensor([-99.0, 99.0, -99.0, 0.0])
        layer.cell.weight_hh.zero_()
    (state,) = gates(layer, X).states
    assert state.dead.tolist() == [True, False, True, False]
    assert all(share >= 0.25 for share in state.saturated)
    assert gates(layer, X).gates == ()


def test_layers_directions_wrappers_and_a_cell_of_ones_own() -> None:
    model = Stack(Bidirectional(GRU(3, 2), LSTM(3, 2)), Recurrent(Leaky(4, 4)))
    found = gates(model, X, lengths=LENGTHS, retention=None)
    assert {g.layer for g in found.gates} == {
        "layers.0.directions.0", "layers.0.directions.1", "layers.1",
    }  # fmt: skip
    assert found.gate("keep").time_constant is None  # it is not said
    kept = gates(Recurrent(Leaky(3, 4)), X, retention="keep").gate("keep")
    torch.testing.assert_close(kept.time_constant, 1 / (1 - kept.unit_mean))
    with pytest.raises(ConfigError, match="got 2: choose from"):
        gates(Stack(Recurrent(GRU(3, 3)), Recurrent(GRU(3, 3))), X).gate("update")
    projected = gates(Recurrent(Projected(LSTM(3, 5), 2)), X)
    assert projected.gate("forget").time_constant is not None
    dropped_in = gates(elman.LSTM(3, 4, num_layers=2, batch_first=True), X)
    assert dropped_in.gate("forget", "LSTM l1").mean.shape == (7,)


def test_in_half_precision_and_with_nan() -> None:
    found = gates(Recurrent(LSTM(3, 4)).bfloat16(), X.bfloat16())
    assert found.gate("forget").mean.dtype == torch.float32
    x = X.clone()
    x[1, 3] = math.nan
    spoiled = gates(Recurrent(LSTM(3, 4)), x).gate("forget")
    assert spoiled.mean.isnan().tolist() == [False] * 3 + [True] * 4
