"""The five custom cells keep every contract of a cell, and compute their equations."""

from __future__ import annotations

import pytest
import torch
from benchmarks.speed._custom import make_cell
from benchmarks.speed._plan import BUILT_IN, CUSTOM
from torch import sigmoid, tanh

from elman.testing import check_cell


@pytest.mark.parametrize("name", CUSTOM)
def test_contracts(name: str) -> None:
    check_cell(lambda: make_cell(name, 2, 3))


def one_step(name: str) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, list[float]]:
    """A cell of one unit: its numbers, x, h before the step, and each state after it."""
    torch.manual_seed(1)
    cell = make_cell(name, 1, 1).double()
    x, before = torch.randn(1, 1).double(), torch.randn(1, 1).double()
    state = cell.State(*(before for _ in cell.states))
    after = cell.step(cell.project(x), state)
    numbers = {key: value.detach().flatten() for key, value in cell.named_parameters()}
    return numbers, x[0, 0], before[0, 0], [float(s.detach()) for s in after]


def test_coupled_peephole_by_hand() -> None:
    w, x, h, (new_h, new_c) = one_step("coupled_peephole")
    i, g, o = w["weight_ih"] * x + w["bias_ih"] + w["weight_hh"] * h + w["bias_hh"]
    i = sigmoid(i + w["peephole_i"] * h)  # c is what h is
    c = (1 - i) * h + i * tanh(g)
    o = sigmoid(o + w["peephole_o"] * c)
    assert new_c == pytest.approx(float(c))
    assert new_h == pytest.approx(float(o * tanh(c)))


def test_two_matrices_by_hand() -> None:
    w, x, h, (new_h,) = one_step("two_matrices")
    in_r, in_z, in_n = w["weight_ih"] * x + w["bias"]
    r, z = sigmoid(torch.stack([in_r, in_z]) + w["weight_gates"] * h)
    n = tanh(in_n + w["weight_candidate"] * (r * h))
    assert new_h == pytest.approx(float((1 - z) * n + z * h))


def test_sine_by_hand() -> None:
    w, x, h, (new_h,) = one_step("sine")
    z = w["weight_ih"] * x + w["bias_ih"] + w["weight_hh"] * h + w["bias_hh"]
    assert new_h == pytest.approx(float(torch.sin(z)))


def test_minimal_gated_by_hand() -> None:
    w, x, h, (new_h,) = one_step("minimal_gated")
    in_f, in_n = w["weight_ih"] * x + w["bias_ih"]
    rec_f, rec_n = w["weight_hh"] * h + w["bias_hh"]
    f = sigmoid(in_f + rec_f)
    assert new_h == pytest.approx(float((1 - f) * h + f * tanh(in_n + f * rec_n)))


def test_layer_norm_acts_on_each_gate_alone() -> None:
    cell = make_cell("layer_norm_gru", 2, 6)
    x, state = torch.randn(3, 2), cell.initial_state(3)._replace(h=torch.randn(3, 6))
    before = cell.step(cell.project(x), state)
    with torch.no_grad():
        cell.weight_hh *= 7  # of every gate: normalizing takes it out again
        cell.bias_hh *= 7
    torch.testing.assert_close(cell.step(cell.project(x), state).h, before.h, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", BUILT_IN + CUSTOM)
def test_every_name_in_a_plan_makes_a_cell(name: str) -> None:
    assert make_cell(name, 4, 5).output_size == 5
