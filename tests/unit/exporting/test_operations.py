"""Every operation that can be printed, each held against torch; and how exact the functions are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from elman.exporting._c_operations import TEMPLATES
from elman.exporting._lowering import ELEMENTWISE
from unit.exporting.exported_cells import code_of, needs_compiler

pytestmark = [needs_compiler, pytest.mark.unchecked]

UNITS = 24
TRUTHS = {f"{kind}_{op}" for kind in ("logical", "bitwise") for op in ("and", "or", "xor")}
COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
OF_TWO = COMPARISONS | {"add", "sub", "mul", "div", "maximum", "minimum", "fmod", "atan2"}
OF_TWO |= {"hypot", "copysign"}


def powers(a: Tensor, b: Tensor) -> Tensor:
    """With exponents that change, and those that are printed as products and a root."""
    base = a.abs() + 1
    return base**b + a**2 + base**0.5 + b**3 + base**-1


OWN = {
    "copy": lambda a, b: torch.where(a > b, a, a).clone(),
    "where": lambda a, b: torch.where(a > b, a, b * 2),
    "pow": powers,
}
DOMAINS = {
    **dict.fromkeys(("asin", "acos", "atanh"), lambda a: torch.tanh(a) * 0.9),
    **dict.fromkeys(
        ("log", "log2", "log10", "sqrt", "rsqrt", "log1p", "lgamma"), lambda a: a.abs() + 0.1
    ),
    "acosh": lambda a: a.abs() + 1.1,
    "logical_not": lambda a: a > 0,
    "bitwise_not": lambda a: a > 0,
}


def applied(op: str, a: Tensor, b: Tensor) -> Tensor:
    """The operation in torch, of two arrays, where it is defined."""
    if op in OWN:
        return OWN[op](a, b)
    function = getattr(torch, op)
    if op in TRUTHS:
        result = function(a > 0, b > 0)
    elif op in OF_TWO:
        result = function(a, b)
    else:
        result = function(DOMAINS[op](a) if op in DOMAINS else a)
    return result.to(a.dtype)


class Every(nn.Module):
    """A step that is all operations side by side."""

    def __init__(self, ops: list[str]) -> None:
        super().__init__()
        self.ops, self.input_size = ops, 2 * UNITS

    def initial_state(self, rows: int) -> Tensor:
        return torch.zeros(rows, 1)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, -1)
        return torch.cat([applied(op, a, b) for op in self.ops], -1), state


def test_every_operation_has_its_c() -> None:
    assert set(TEMPLATES) == ELEMENTWISE | {"add", "sub", "copy"}


def test_every_operation_is_torchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Every(sorted(TEMPLATES))
    code = code_of(model, tmp_path, monkeypatch)
    x = torch.randn(40, 2 * UNITS) * 2
    x[0, :4], x[1, UNITS : UNITS + 4] = torch.tensor([0.0, -0.0, 1.0, -1.0]), 0.5
    got = torch.from_numpy(code(x.numpy())).unflatten(-1, (-1, UNITS))
    for place, op in enumerate(model.ops):
        wanted = applied(op, *x.double().chunk(2, -1))
        near = torch.isclose(got[:, place].double(), wanted.double(), 4e-6, 2e-6, equal_nan=True)
        assert near.all(), op


def test_nan_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ops = ["sigmoid", "tanh", "exp", "expm1", "relu", "maximum", "minimum", "add"]
    code = code_of(Every(ops), tmp_path, monkeypatch)
    got = code(np.full((1, 2 * UNITS), np.nan, np.float32))
    assert np.isnan(got).all()


FUNCTIONS = {
    "exp": (np.exp, -86, 87.9),
    "expm1": (np.expm1, -86, 87.9),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -60, 60),
    "tanh": (np.tanh, -30, 30),
    "log": (np.log, 1e-30, 1e30),
    "log1p": (np.log1p, -0.999, 1e6),
    "sqrt": (np.sqrt, 1e-30, 1e30),
}


@pytest.mark.every
def test_functions_are_as_exact_as_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative errors below 3e-7; of log near 1, where it is 0, absolute ones below 1e-7."""
    code = code_of(Many(), tmp_path, monkeypatch, libm=False)
    for place, (name, (exact, low, high)) in enumerate(FUNCTIONS.items()):
        if low > 0:
            x = np.exp(np.linspace(np.log(low), np.log(high), 100_000)).astype(np.float32)
        else:
            near = np.linspace(-1e-3, 1e-3, 20_000)
            x = np.concatenate([np.linspace(low, high, 80_000), near]).astype(np.float32)
        got = code(np.repeat(x[:, None], len(FUNCTIONS), 1))[:, place].astype(np.float64)
        wanted = exact(x.astype(np.float64))
        error = np.abs(got - wanted)
        relative = error / np.maximum(np.abs(wanted), 1e-30)
        fine = (relative < 3e-7) | ((error < 1e-7) & (name == "log"))
        assert fine.all(), (name, x[~fine][:3], relative.max())


class Many(nn.Module):
    """Each function of one number."""

    input_size = len(FUNCTIONS)

    def initial_state(self, rows: int) -> Tensor:
        return torch.zeros(rows, 1)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        parts = x.split(1, -1)
        pairs = zip(FUNCTIONS, parts, strict=True)
        return torch.cat([getattr(torch, name)(part) for name, part in pairs], -1), state
