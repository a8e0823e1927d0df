"""The published cells are those of the package torchrecurrent, or of their papers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, sigmoid, tanh

import sampling
from unit.cells.torchrecurrent import Case, Departure, Tensors, compare, compare_with_paper

CASES: Mapping[str, Case] = {
    "atr": Case("ATR"),
    "janet": Case(
        "JANET",
        lambda w: {key: tensor for key, tensor in w.items() if key != "beta"},
        states=("h", "h"),  # their two states are one, as long as they begin so
        constant=("beta",),
    ),
}


def lem(w: Tensors, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    v1, v2, vz, vy = (x @ w["input.weight"].T + w["input.bias"]).chunk(4, 1)
    w1, w2, wz = w["recurrent.weight"].chunk(3)
    step, step_bar = sigmoid(y @ w1.T + v1), sigmoid(y @ w2.T + v2)
    z = (1 - step) * z + step * tanh(y @ wz.T + vz)
    y = (1 - step_bar) * y + step_bar * tanh(z @ w["memory.weight"].T + vy)
    return y, z


DEPARTURES: Mapping[str, Departure] = {
    "lem": Departure("y_t depends on z_t, not on z_(t-1)", "section 2, equation 3", lem),
}
"""Cells that the package has otherwise than their papers, which are followed here."""

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])


@DTYPES
@pytest.mark.parametrize("name", CASES)
def test_equals_theirs(name: str, dtype: torch.dtype) -> None:
    compare(name, CASES[name], "reference", dtype)


@DTYPES
@pytest.mark.parametrize("name", sampling.cases(list(CASES), 5))
def test_native_equals_theirs(name: str, dtype: torch.dtype) -> None:
    compare(name, CASES[name], "native", dtype)


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("name", DEPARTURES)
def test_equals_its_paper(name: str, engine: str) -> None:
    compare_with_paper(name, DEPARTURES[name].step, engine)


def test_departures_are_few() -> None:
    assert len(DEPARTURES) <= 8
    assert not DEPARTURES.keys() & CASES.keys()
