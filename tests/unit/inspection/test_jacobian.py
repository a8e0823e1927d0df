"""Jacobians, the three factors and Lyapunov exponents, against closed forms and autograd alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import elman
from elman import Bidirectional, Recurrent, Stack
from elman._errors import ConfigError
from elman.cells import GRU, LSTM, Elman, Projected
from elman.inspection import factors, jacobian, lyapunov, spectrum
from unit.inspection.closed import CELLS, dense, linear


def double(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("rho", [0.9, 1.0, 1.05])
def test_a_linear_network_is_rho_to_the_distance(rho: float) -> None:
    layer, x = linear(rho), double(2, 30, 3)
    for t, k in ((29, 0), (17, 12), (5, 5), (-1, -2)):
        norm = torch.linalg.matrix_norm(jacobian(layer, x, t, k), 2)
        expected = rho ** (t % 30 - k % 30)
        torch.testing.assert_close(norm, torch.full_like(norm, expected), rtol=1e-9, atol=0)
    for exact in (True, False):
        found = spectrum(layer, x, exact=exact, times=(1, 20, 29))
        powers = torch.tensor([rho**t for t in found.times], dtype=torch.float64)[:, None]
        torch.testing.assert_close(found.norm.value, powers.expand(-1, 2))
        torch.testing.assert_close(found.step_norm.value, torch.full((3, 2), rho).double())
        torch.testing.assert_close(found.step_radius.value, torch.full((3, 2), rho).double())
        frobenius = math.sqrt(6) * powers
        assert (found.frobenius.low <= frobenius + 1e-9).all()
        assert (frobenius <= found.frobenius.high + 1e-9).all()
    exponents = lyapunov(layer, x, k=6)
    torch.testing.assert_close(exponents.exponents, torch.full((6,), math.log(rho)).double())
    assert (exponents.interval - math.log(rho)).abs().max() < 1e-6


def test_a_scalar_network_by_hand() -> None:
    """h_t = tanh(w h_{t-1} + x_t): the exponent is the mean of ln |w (1 - h_t^2)|."""
    cell = Elman(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight, value in zip(cell.weights[:4], (1.0, 1.3, 0.0, 0.0), strict=True):
            assert weight is not None
            weight.fill_(value)
    x, h, logs = double(1, 20, 1), 0.0, []
    for value in x.flatten().tolist():
        h = math.tanh(1.3 * h + value)
        logs.append(math.log(1.3 * (1 - h * h)))
    found = lyapunov(cell, x, warm_up=5)
    assert abs(found.exponents.item() - sum(logs[5:]) / 15) < 1e-12
    assert found.interval[0, 0] < found.exponents[0] < found.interval[0, 1]
    product = math.exp(sum(logs[3:10]))
    assert abs(jacobian(cell, x, 9, 2).item() - product) < 1e-12


@pytest.mark.parametrize("name", CELLS)
def test_small_networks_against_autograd(name: str) -> None:
    layer, x = Recurrent(CELLS[name](3, 4)).double(), double(2, 7, 3)
    expected = dense(layer, x, 6, 2)
    whole = jacobian(layer, x, 6, 2, state="all")
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-10)
    first, other = layer.cell.states[0], layer.cell.states[-1]
    at = 4 * (len(layer.cell.states) - 1)
    torch.testing.assert_close(jacobian(layer, x, 6, 2), expected[:, :4, :4])
    part = jacobian(layer, x, 6, 2, of=first, wrt=other)
    torch.testing.assert_close(part, expected[:, :4, at : at + 4])


@pytest.mark.parametrize("name", CELLS)
def test_the_lecture_sum_is_the_gradient(name: str) -> None:
    layer, x = Recurrent(CELLS[name](3, 4)).double(), double(3, 6, 3)
    lengths, reset = torch.tensor([6, 4, 0]), torch.zeros(3, 6, dtype=torch.bool)
    reset[0, 3] = True

    def loss(h: Tensor) -> Tensor:
        return (h * torch.arange(1, 7)[:, None]).square().sum() + h.sum()  # reads padding, too

    found = factors(layer, x, loss, lengths=lengths, reset=reset)
    loss(layer(x, lengths=lengths, reset=reset)[0]).backward()
    assert layer.cell.weight_hh.grad is not None
    torch.testing.assert_close(found.autograd, layer.cell.weight_hh.grad)
    terms = sum(found.term(t, k) for t in range(6) for k in range(t + 1))
    for total in (terms, found.sum()):
        torch.testing.assert_close(total, found.autograd, rtol=0, atol=1e-10)
    by_hand = sum(
        torch.einsum(
            "bs,bsr,brij->ij", found.loss_state[t], found.product(t, k), found.state_weight(k)
        )
        for t in range(6)
        for k in range(t + 1)
    )
    torch.testing.assert_close(by_hand, found.autograd, rtol=0, atol=1e-10)
    assert not found.loss_state[4:, 1:].any()
    assert not found.state_weight(5)[1:].any()


def test_the_sum_holds_inside_a_model_and_for_its_drop_ins() -> None:
    model, x = elman.LSTM(3, 4, 2, bidirectional=True, proj_size=2).double(), double(6, 2, 3)
    output, (h, c) = model(x)
    (output.square().sum() + h.sum() + c.square().sum()).backward()

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = model

        def forward(self, x: Tensor) -> Tensor:
            output, (h, c) = self.lstm(x)
            return output.square().sum() + h.sum() + c.square().sum()

    for part in ("l0", "l0_reverse", "l1", "l1_reverse"):
        for weight in ("weight_hh", "weight_hr"):
            found = factors(Model(), x, lambda loss: loss, layer=f"lstm {part}", weight=weight)
            gradient = getattr(model, f"{weight}_{part}").grad
            torch.testing.assert_close(found.sum(), gradient, rtol=0, atol=1e-10)


def test_backwards_time_runs_the_other_way() -> None:
    layer, x = Bidirectional(GRU(3, 4), GRU(3, 4)).double(), double(2, 7, 3)
    alone = Recurrent(layer.directions[1].cell)
    found = jacobian(layer, x, 1, 4, layer="directions.1")
    torch.testing.assert_close(found, jacobian(alone, x.flip(1), 5, 2))
    with pytest.raises(ConfigError, match="runs backwards, so t <= k"):
        jacobian(layer, x, 4, 1, layer=1)
    with pytest.raises(ConfigError, match="runs forwards, so t >= k"):
        jacobian(layer, x, 1, 4, layer=0)
    with pytest.raises(ConfigError, match="choose with layer="):
        jacobian(layer, x, 4, 1)
    whole = lyapunov(layer, x, layer=1, warm_up=0)
    torch.testing.assert_close(whole.exponents, lyapunov(alone, x.flip(1), warm_up=0).exponents)


def test_padding_keeps_a_state_and_a_reset_cuts() -> None:
    layer, x = Recurrent(LSTM(3, 4)).double(), double(2, 7, 3)
    reset = torch.zeros(2, 7, dtype=torch.bool)
    reset[1, 3] = True
    lengths = torch.tensor([4, 7])
    found = jacobian(layer, x, 6, 2, state="all", lengths=lengths, reset=reset)
    torch.testing.assert_close(found[0], jacobian(layer, x, 3, 2, state="all")[0])
    assert not found[1].any()
    with pytest.raises(ConfigError, match="a reset cuts"):
        lyapunov(layer, x, reset=reset)
    counted = lyapunov(layer, x, k=2, lengths=torch.tensor([0, 5]), warm_up=1)
    alone = lyapunov(layer, x[1:, :5], k=2, warm_up=1)
    torch.testing.assert_close(
        counted.growth[:5, 1].nanmean(0), alone.exponents, rtol=0.2, atol=0.2
    )
    with pytest.raises(ConfigError, match="warm_up must be shorter than the longest row"):
        lyapunov(layer, x, lengths=torch.tensor([0, 1]), warm_up=1)


def test_exponents_add_up_to_the_volume() -> None:
    """The sum of all exponents is the mean of ln |det J|, whatever the directions."""
    layer, x = Recurrent(GRU(3, 4)).double(), double(2, 30, 3)
    found = lyapunov(layer, x, k=4, warm_up=0)
    steps = torch.stack([dense(layer, x, t, t - 1) for t in range(1, 30)])
    expected = torch.linalg.det(steps).abs().log().mean()
    torch.testing.assert_close(found.growth[1:].sum(-1).mean(), expected)


def test_large_states_by_products_agree_with_whole_matrices() -> None:
    layer, x = Recurrent(LSTM(3, 16)).double(), double(2, 7, 3)
    for state in (None, "all"):
        exact = spectrum(layer, x, state=state, times=(3, 6))
        estimated = spectrum(layer, x, state=state, times=(3, 6), exact=False, probes=12)
        assert exact.exact
        assert not estimated.exact
        for size in ("step_norm", "norm"):
            true, found = getattr(exact, size).value, getattr(estimated, size)
            torch.testing.assert_close(found.value, true, rtol=0.02, atol=0)
            assert (found.low <= true * (1 + 1e-9)).all()
            assert (true <= found.high).all()
        assert ((estimated.frobenius.value / exact.frobenius.value - 1).abs() < 0.5).all()
        assert (estimated.frobenius.low < estimated.frobenius.high).all()
        radius = estimated.step_radius.value
        torch.testing.assert_close(radius, exact.step_radius.value, rtol=0.05, atol=0)
    assert len(spectrum(layer, double(1, 20, 3), exact=False, probes=2).times) <= 16


def test_bfloat16_and_float32_are_computed_in_float64() -> None:
    layer, x = Recurrent(LSTM(3, 4)), torch.randn(2, 7, 3)
    exact = jacobian(layer.double(), x.double(), 6, 2)
    torch.testing.assert_close(jacobian(layer.float(), x, 6, 2), exact, rtol=1e-4, atol=1e-7)
    half = layer.bfloat16()
    assert jacobian(half, x.bfloat16(), 6, 2).dtype == torch.float64
    torch.testing.assert_close(jacobian(half, x.bfloat16(), 6, 2), exact, rtol=0.1, atol=1e-3)
    assert lyapunov(half, x.bfloat16(), k=8).exponents.isfinite().all()


def test_a_dead_relu_has_no_exponent() -> None:
    cell = Elman(3, 4, activation="relu")
    torch.nn.init.constant_(cell.bias_ih, -100.0)
    found = lyapunov(cell, torch.randn(2, 20, 3), k=2)
    assert (found.exponents == -math.inf).all()
    assert (found.interval == -math.inf).all()


def test_what_is_not_there_is_refused() -> None:
    layer, x = Stack(Recurrent(Projected(LSTM(3, 4), 2))), torch.randn(2, 6, 3)
    assert jacobian(layer, x, 4, 1, of="c", wrt="h").shape == (2, 4, 2)
    assert factors(layer, x, torch.sum).weight == "cell.weight_hh"
    for wrong, message in (
        (lambda: jacobian(layer, x, 6, 1), "t must be from -6 to 5, got 6"),
        (lambda: jacobian(layer, x, 4, 1, of="z"), "unknown state 'z'"),
        (lambda: jacobian(layer, x, 4, 1, of="c", state="h"), "pass either state="),
        (lambda: lyapunov(layer, x, k=7), "k must be from 1 to 6"),
        (lambda: lyapunov(layer, x, warm_up=6), "warm_up must be from 0 to 5"),
        (lambda: spectrum(layer, x, k=5), "expected steps after k=5"),
        (lambda: factors(layer, x, torch.sum, weight="w"), "unknown weight 'w'"),
        (lambda: factors(layer.requires_grad_(False), x, torch.sum), "is frozen"),
    ):
        with pytest.raises(ConfigError, match=message):
            wrong()
