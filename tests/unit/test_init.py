"""Each scheme does to the weights what its paper says, gate by gate, and refuses what it cannot."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

import elman
from elman import init
from elman.cells import GRU, LSTM, Elman, PointwiseCell, Projected


@pytest.mark.parametrize("name", init.SCHEMES)
def test_every_scheme_by_name_in_layer_and_drop_in(name: str) -> None:
    layer = elman.Recurrent(LSTM(3, 8), init=name)
    drop_in = elman.LSTM(3, 8, num_layers=2, bidirectional=True, init=name)
    assert all(p.isfinite().all() for m in (layer, drop_in) for p in m.parameters())


def test_identity_carries_the_state_along() -> None:
    layer = elman.Recurrent(Elman(3, 8, "relu"), init="identity")
    state = layer.cell.State(torch.rand(2, 8))
    _, final = layer(torch.zeros(2, 100, 3), state)
    assert torch.equal(final.h, state.h)


def test_identity_is_per_gate() -> None:
    cell = init.initialize(GRU(3, 4), "identity")
    for block in cell.weight_hh.chunk(3):
        assert torch.equal(block, torch.eye(4))
    assert (cell.bias_ih == 0).all()
    assert cell.weight_ih.std() < 0.002


def test_orthogonal_is_per_gate() -> None:
    cell = init.initialize(LSTM(3, 6), "orthogonal")
    for block in cell.weight_hh.chunk(4):
        assert torch.allclose(block @ block.T, torch.eye(6), atol=1e-5)


def test_glorot_is_per_gate() -> None:
    cell = init.initialize(LSTM(30, 60), "glorot")
    for matrix, fans in ((cell.weight_ih, 90), (cell.weight_hh, 120)):
        bound = math.sqrt(6 / fans)
        assert 0.98 * bound < matrix.abs().max() <= bound


def test_torch_is_what_torch_does() -> None:
    torch.manual_seed(1)
    theirs = torch.nn.LSTM(3, 5)
    torch.manual_seed(1)
    ours = init.initialize(elman.LSTM(3, 5).requires_grad_(False), "torch")
    torch.manual_seed(1)
    init.initialize(ours, "torch")
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("cell", "gate", "gates"), [(LSTM(3, 5), 1, 4), (GRU(3, 5), 1, 3)])
def test_forget_bias_opens_the_gate_that_keeps(cell: PointwiseCell, gate: int, gates: int) -> None:
    init.initialize(cell, partial(init.forget_bias, value=2.0))
    total = (cell.bias_ih + cell.bias_hh).chunk(gates)
    assert torch.equal(total[gate], torch.full((5,), 2.0))
    assert (total[0] != 2.0).any()


def test_an_update_gate_that_is_open_keeps_the_state() -> None:
    cell = init.initialize(GRU(3, 5), partial(init.forget_bias, value=50.0))
    state = cell.State(torch.randn(2, 5))
    assert torch.allclose(cell.step(cell.project(torch.randn(2, 3)), state).h, state.h)


def test_chrono_covers_the_range() -> None:
    cell = init.initialize(LSTM(3, 2000), partial(init.chrono, longest=784))
    i, f, *_ = (cell.bias_ih + cell.bias_hh).chunk(4)
    assert torch.equal(i, -f)
    assert 0 <= f.min() < 1
    assert math.log(700) < f.max() <= math.log(783)


def test_a_projected_cell_is_initialized_once_and_whole() -> None:
    cell = init.initialize(Projected(LSTM(3, 50), 20), "glorot")
    bound = math.sqrt(6 / 70)
    assert 0.9 * bound < cell.weight_hr.abs().max() <= bound


@pytest.mark.parametrize("name", ["forget_bias", "chrono"])
def test_schemes_about_memory_need_a_memory_gate(name: str) -> None:
    with pytest.raises(elman.ConfigError, match=f"init '{name}' needs a gate that keeps"):
        init.initialize(Elman(3, 5), name)
    with pytest.raises(elman.ConfigError, match="got a cell with bias=False"):
        init.initialize(LSTM(3, 5, bias=False), name)


def test_unknown_scheme_names_the_nearest() -> None:
    with pytest.raises(elman.ConfigError, match="did you mean 'orthogonal'"):
        init.initialize(LSTM(3, 5), "ortogonal")


def test_a_module_without_cells_is_told() -> None:
    with pytest.raises(elman.ConfigError, match="found no cell with gates to initialize in Linear"):
        init.initialize(torch.nn.Linear(2, 2), "glorot")


def test_parametrized_weights_are_not_silently_left() -> None:
    lstm = torch.nn.utils.parametrizations.weight_norm(elman.LSTM(3, 5), "weight_hh_l0")
    with pytest.raises(elman.ConfigError, match="computed by a parametrization"):
        init.initialize(lstm, "orthogonal")
