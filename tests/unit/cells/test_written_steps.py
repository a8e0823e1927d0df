"""Cells that torchrecurrent does not have, against steps written as in their papers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, exp, sigmoid, tanh

import elman
from elman.cells import by_name
from unit.cells.torchrecurrent import Step, Tensors, compare_with_paper

ENGINES = pytest.mark.parametrize("engine", ["reference", "native"])


def products(w: Tensors, x: Tensor, h: Tensor) -> Tensor:
    """What the gates of a `PointwiseCell` see."""
    return x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]


def norm(w: Tensors, name: str, v: Tensor) -> Tensor:
    apart = v - v.mean(1, keepdim=True)
    scaled = apart / (apart.square().mean(1, keepdim=True) + 1e-5).sqrt()
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def cifg(w: Tensors, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    f, g, o = products(w, x, h).chunk(3, 1)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(g)
    return sigmoid(o) * tanh(c), c


def chogru(w: Tensors, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    x_r, x_z, x_n = (x @ w["input.weight"].T + w["input.bias"]).chunk(3, 1)
    w_r, w_z = w["recurrent.weight"].chunk(2)
    r, z = sigmoid(x_r + h @ w_r.T), sigmoid(x_z + h @ w_z.T)
    n = tanh(x_n + (r * h) @ w["candidate.weight"].T)
    return ((1 - z) * n + z * h,)


def layernormlstm(w: Tensors, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    from_x = norm(w, "norm_input", x @ w["input.weight"].T)
    from_h = norm(w, "norm_recurrent", h @ w["recurrent.weight"].T)
    i, f, g, o = (from_x + from_h).chunk(4, 1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(norm(w, "norm_memory", c)), c


def layernormgru(w: Tensors, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    units = h.shape[1]
    from_x, from_h = x @ w["input.weight"].T, h @ w["recurrent.weight"].T
    of_x, of_h = from_x[:, : 2 * units], from_h[:, : 2 * units]
    r, z = sigmoid(norm(w, "norm_input", of_x) + norm(w, "norm_recurrent", of_h)).chunk(2, 1)
    n_x, n_h = from_x[:, 2 * units :], from_h[:, 2 * units :]
    n = tanh(norm(w, "norm_input_n", n_x) + r * norm(w, "norm_recurrent_n", n_h))
    return ((1 - z) * n + z * h,)


def rhn(w: Tensors, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    for layer in range(3):
        u = h @ w[f"layers.{layer}.weight"].T + w[f"layers.{layer}.bias"]
        n, k = (u + x @ w["input.weight"].T if layer == 0 else u).chunk(2, 1)
        h = tanh(n) * sigmoid(k) + h * (1 - sigmoid(k))
    return (h,)


STEPS: Mapping[str, Step] = {
    step.__name__: step for step in (cifg, chogru, layernormlstm, layernormgru, rhn)
}


@ENGINES
@pytest.mark.parametrize("name", STEPS)
def test_equals_the_written_step(name: str, engine: str) -> None:
    compare_with_paper(name, STEPS[name], engine)


def filled(name: str, **options: Any) -> tuple[Any, Tensors]:
    """A cell of three features and four units whose parameters are all drawn alike."""
    torch.manual_seed(0)
    cell = by_name(name)(3, 4, **options).double()
    for parameter in cell.parameters():
        torch.nn.init.uniform_(parameter, -0.8, 0.8)
    return cell, dict(cell.named_parameters())


@ENGINES
@pytest.mark.parametrize("forget", ["exp", "sigmoid"])
def test_slstm_equals_the_step_without_stabilizer(forget: str, engine: str) -> None:
    cell, w = filled("slstm", forget=forget)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    output, final = elman.Recurrent(cell, engine=engine)(x)
    h = c = n = torch.zeros(2, 4, dtype=torch.float64)
    written = []
    for x_t in x.unbind(1):
        i, f, z, o = products(w, x_t, h).chunk(4, 1)
        f = exp(f) if forget == "exp" else sigmoid(f)
        c, n = f * c + exp(i) * tanh(z), f * n + exp(i)
        h = sigmoid(o) * c / n
        written.append(h)
    expected = [torch.stack(written, 1), c, n]
    ours = [output, final.c * exp(final.m), final.n * exp(final.m)]
    for tensors in (ours, expected):
        loss = sum(t.square().sum() for t in tensors)
        tensors.extend(torch.autograd.grad(loss, w.values()))  # type: ignore[arg-type]
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@ENGINES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_i", [-2000.0, 2000.0])
def test_slstm_is_finite_where_exp_is_not(log_i: float, dtype: torch.dtype, engine: str) -> None:
    cell = by_name("slstm")(1, 1).to(dtype)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih.copy_(torch.tensor([log_i, 500.0, 1.0, 0.0]))  # type: ignore[operator]
    x = torch.zeros(1, 3, 1, dtype=dtype)
    output, _ = elman.Recurrent(cell, engine=engine)(x)
    # All that was ever stored is tanh(1), whatever its weight.
    torch.testing.assert_close(output, torch.tensor(0.5, dtype=dtype) * tanh(torch.ones_like(x)))
    output.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in cell.parameters() if p.grad is not None)


@ENGINES
def test_the_delay_of_taugru_is_counted_in_steps(engine: str) -> None:
    cell, w = filled("taugru", delay=3)
    start = cell.initial_state(2)._replace(h=torch.randn(2, 4, dtype=torch.float64))
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    output, final = elman.Recurrent(cell, engine=engine)(x, start)
    past = [*[torch.zeros_like(start.h)] * 3, start.h]
    for x_t in x.unbind(1):
        x_u, x_z, x_g, x_a = (x_t @ w["input.weight"].T + w["input.bias"]).chunk(4, 1)
        h_u, h_g, h_a = (past[-1] @ w["recurrent.weight"].T).chunk(3, 1)
        z = tanh(x_z + past[-4] @ w["delayed.weight"].T)
        g = sigmoid(x_g + h_g)
        past.append((1 - g) * past[-1] + g * (tanh(x_u + h_u) + sigmoid(x_a + h_a) * z))
    torch.testing.assert_close(output, torch.stack(past[4:], 1), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(tuple(final), tuple(past[:-5:-1]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("taugru", {"delay": 0}, "delay must be at least 1 step, got 0"),
        ("rhn", {"depth": 0}, "depth must be at least 1 layer, got 0"),
        ("slstm", {"forget": "exponential"}, "'exp' or 'sigmoid', got 'exponential'"),
    ],
)
def test_options_are_checked(name: str, options: Any, message: str) -> None:
    with pytest.raises(elman.ConfigError, match=message):
        by_name(name)(3, 4, **options)
