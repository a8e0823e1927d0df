"""Linear and elementwise cells against torchrecurrent, or their papers step by step in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, sigmoid, tanh

import elman
from elman.cells import LRU, LinearCell, LinOSS, MinGRU, by_name
from unit.cells.torchrecurrent import Case, Tensors, compare, compare_with_paper


def _affine(w: Tensors, x: Tensor, gates: int) -> tuple[Tensor, ...]:
    return (x @ w["input.weight"].T + w["input.bias"]).chunk(gates, 1)


def mingru(w: Tensors, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    z, candidate = _affine(w, x, 2)
    return ((1 - sigmoid(z)) * h + sigmoid(z) * candidate,)


def minlstm(w: Tensors, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    f, i, candidate = _affine(w, x, 3)
    f, i = sigmoid(f), sigmoid(i)
    return (f / (f + i) * h + i / (f + i) * candidate,)


def qrnn_fo(w: Tensors, x: Tensor, _: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    z, f, o = _affine(w, x, 3)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(z)
    return sigmoid(o) * c, c


def qrnn_f(w: Tensors, x: Tensor, _: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    z, f = _affine(w, x, 2)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(z)
    return c, c


def sru(w: Tensors, x: Tensor, _: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    maps = (x @ w["weight_ih"].T).chunk(len(w["weight_ih"]) // c.shape[1], 1)
    b_f, b_r = w["bias_ih"].chunk(2)
    f, r = sigmoid(maps[1] + b_f), sigmoid(maps[2] + b_r)
    c = f * c + (1 - f) * maps[0]
    return r * tanh(c) + (1 - r) * (maps[3] if len(maps) > 3 else x), c


def rglru(w: Tensors, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    u = x @ w["input.weight"].T if "input.weight" in w else x
    r, i = sigmoid(u @ w["gates.weight"].T + w["gates.bias"]).chunk(2, 1)
    a = sigmoid(w["decay"]) ** (8 * r)
    return (a * h + torch.sqrt(1 - a**2) * i * u,)


def lru(w: Tensors, x: Tensor, _: Tensor, re: Tensor, im: Tensor) -> tuple[Tensor, ...]:
    a = torch.exp(torch.complex(-torch.exp(w["nu"]), torch.exp(w["theta"])))
    b, c = torch.complex(*w["weight_b"].chunk(2)), w["weight_c"].chunk(2, 1)
    s = a * torch.complex(re, im) + torch.exp(w["gamma"]) * (x.to(b.dtype) @ b.T)
    h = (s @ torch.complex(c[0], -c[1]).T).real + x @ w["weight_d"].T
    return h, s.real, s.imag


def linoss(w: Tensors, x: Tensor, z: Tensor, y: Tensor, implicit: bool) -> tuple[Tensor, ...]:
    dt, stiffness = sigmoid(w["time_step"]), torch.relu(w["stiffness"])
    force = x @ w["weight_b"].T
    if implicit:  # z = z' + dt (-A (y' + dt z) + force), solved for z
        z = (z + dt * (force - stiffness * y)) / (1 + dt**2 * stiffness)
    else:
        z = z + dt * (force - stiffness * y)
    y = y + dt * z
    return y @ w["weight_c"].T + x @ w["weight_d"].T, z, y


PAPERS: tuple[tuple[str, Callable[..., tuple[Tensor, ...]], dict[str, Any]], ...] = (
    ("mingru", mingru, {}),
    ("minlstm", minlstm, {}),
    ("qrnn", qrnn_fo, {}),
    ("qrnn", qrnn_f, {"pooling": "f"}),
    ("sru", sru, {}),
    ("sru", sru, {"sizes": (6, 6)}),
    ("rglru", rglru, {}),
    ("rglru", rglru, {"sizes": (6, 6)}),
    ("lru", lru, {}),
    ("linoss", lambda w, x, _, z, y: linoss(w, x, z, y, True), {}),
    ("linoss", lambda w, x, _, z, y: linoss(w, x, z, y, False), {"method": "imex"}),
)


def indrnn(w: Tensors) -> dict[str, Tensor]:
    bias = w["bias_ih"] + w["bias_hh"]
    return {"input.weight": w["weight_ih"], "input.bias": bias, "weight_hh": w["vector_u"]}


def unicornn(w: Tensors) -> dict[str, Tensor]:
    return {
        "input.weight": w["weight_ih"],
        "input.bias": w["bias_ih"] + w["bias_hh"],
        "weight_hh": w["weight_hh"],
        "weight_ch": w["weight_ch"],
    }


OPTIONS = {"dt": 0.4, "alpha": 0.3}
THEIRS: dict[str, Case] = {
    "indrnn": Case("IndRNN", indrnn, ours={"activation": "tanh"}),
    "unicornn": Case(
        "UnICORNN",
        unicornn,
        states=("y", "z"),
        theirs=OPTIONS | {"recurrent_bias": True},
        ours=OPTIONS,
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])
@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("name", THEIRS)
def test_equals_torchrecurrent(name: str, engine: str, dtype: torch.dtype) -> None:
    compare(name, THEIRS[name], engine, dtype)


@pytest.mark.parametrize("engine", ["reference", "native", "parallel"])
@pytest.mark.parametrize(("name", "step", "options"), PAPERS)
def test_equals_its_paper(name: str, step: Any, options: dict[str, Any], engine: str) -> None:
    compare_with_paper(name, step, engine, **options)


def test_an_lru_begins_on_its_ring() -> None:
    cell = LRU(3, 500, min_modulus=0.5, max_modulus=0.8, max_phase=1.0)
    modulus, phase = torch.exp(-torch.exp(cell.nu)), torch.exp(cell.theta)
    ends = torch.stack([*modulus.aminmax(), *phase.aminmax()])
    torch.testing.assert_close(ends, torch.tensor([0.5, 0.8, 0.0, 1.0]), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.exp(cell.gamma), torch.sqrt(1 - modulus**2))


def test_an_rglru_begins_between_its_decays() -> None:
    decay = torch.sigmoid(by_name("rglru")(3, 500).decay) ** 8
    ends = torch.stack(decay.aminmax())
    torch.testing.assert_close(ends, torch.tensor([0.9, 0.999]), atol=0.002, rtol=0)


def test_the_explicit_oscillator_conserves() -> None:
    """Without input, and with a small step, the energy stays what it is for a thousand steps."""
    energies = []
    for method in ("im", "imex"):
        cell = LinOSS(1, 1, method=method).double()
        torch.nn.init.constant_(cell.time_step, math.log(0.05 / 0.95))
        torch.nn.init.ones_(cell.stiffness)
        start = cell.State(*(torch.ones(1, 1, dtype=torch.float64) for _ in cell.states))
        _, state = elman.Recurrent(cell)(torch.zeros(1, 1000, 1, dtype=torch.float64), start)
        energies.append((state.z**2 + state.y**2).item() / 2)
    assert energies[0] < 0.2
    assert energies[1] == pytest.approx(1, abs=0.05)


class Plain(LinearCell):
    states = ("h",)

    def coefficients(self, x: Tensor) -> Any:
        return torch.full_like(x, 0.5), x


class Turning(Plain):
    def coefficients(self, x: Tensor) -> Any:
        return torch.complex(x, x), x


class Narrow(Plain):
    def coefficients(self, x: Tensor) -> Any:
        return x, x.float()


class Half(LinearCell):
    states = ("h", "re", "im")

    def coefficients(self, x: Tensor) -> Any:
        return torch.complex(x, x).to(torch.complex64), (x, x)

    def output(self, re: Tensor, im: Tensor) -> Tensor:
        return re + im


class Flat(Half):
    def coefficients(self, x: Tensor) -> Any:
        return x, (x, x)


class Wide(Plain):
    def coefficients(self, x: Tensor) -> Any:
        return x, torch.cat([x, x], -1)


class Long(Plain):
    def coefficients(self, x: Tensor) -> Any:
        return x, x, x


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (
            Turning,
            TypeError,
            r"give a real a for states = \('h',\), got torch.complex128: a complex",
        ),
        (Narrow, TypeError, r"give b in torch.float64, as x is, got it in torch.float32"),
        (Half, TypeError, r"give a_re in torch.float64, as x is, got it in torch.float32"),
        (Flat, TypeError, r"give a complex a for states = .* got torch.float64: return a complex"),
        (Wide, elman.ShapeError, r"give b of shape \(2, 4, 3\), got \(2, 4, 6\)"),
        (Long, TypeError, r"return a, b, got 3"),
    ],
)
def test_coefficients_that_do_not_fit_are_named(
    kind: type[LinearCell], error: type[Exception], message: str
) -> None:
    code = kind.coefficients.__code__
    place = rf"{Path(__file__).name}:{code.co_firstlineno}: {kind.__name__}.coefficients must "
    with pytest.raises(error, match=place + message):
        kind(3, 3).project(torch.randn(2, 4, 3, dtype=torch.float64))


def test_states_and_output_must_agree() -> None:
    def coefficients(self: Any, x: Tensor) -> Any:
        return x, x

    for states, output in (
        (("h", "c"), None),
        (("h",), lambda _, h: h),
        (("h", "re", "im"), lambda _, re: re),
        (("h", "a", "b", "c"), lambda _, a, b, c: a + b + c),
    ):
        body = {"states": states, "coefficients": coefficients}
        with pytest.raises(elman.ConfigError, match=r"Wrong.states must be the output alone, or"):
            type("Wrong", (LinearCell,), body | ({"output": output} if output else {}))


def test_complex_coefficients_and_their_parts_are_one() -> None:
    class Complex(Half):
        def coefficients(self, x: Tensor) -> Any:
            return torch.polar(torch.sigmoid(x), x), torch.complex(x, -x)

    class Parts(Half):
        def coefficients(self, x: Tensor) -> Any:
            modulus = torch.sigmoid(x)
            return (modulus * torch.cos(x), modulus * torch.sin(x)), (x, -x)

    x = torch.randn(2, 6, 3)
    for engine in ("reference", "native", "parallel"):
        both = [elman.Recurrent(kind(3, 3), engine=engine)(x) for kind in (Complex, Parts)]
        torch.testing.assert_close(*both)


def test_observed_decay() -> None:
    layer, x = elman.Recurrent(MinGRU(3, 5)), torch.randn(2, 6, 3)
    *_, observed = layer(x, observe=True)
    z = (x @ layer.cell.input.weight.T + layer.cell.input.bias)[..., :5]
    torch.testing.assert_close(observed["retain"], 1 - torch.sigmoid(z))
