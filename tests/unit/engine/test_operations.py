"""Every elementwise instruction of the library equals torch's, special values included."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from elman.engine.compiler._program import ELEMENTWISE
from elman.engine.runtime._evaluate import TORCH
from elman.engine.runtime._library import library
from elman.engine.runtime._tensors import described

# Relative to the result, or absolute if that is small.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-15 * 20}
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    math.inf,
    -math.inf,
    math.nan,
    1e-30,
    -1e-30,
    88.0,
    -88.0,
    104.0,
    -104.0,
]
TAKES_VALUE = [name for name, (_, value) in ELEMENTWISE.items() if value and name != "constant"]


def apply(op: str, *inputs: Tensor, value: float = 0.0) -> Tensor:
    out = torch.full_like(inputs[0], math.nan)
    library().apply(op, value, described((out, *inputs)))
    return out


def operands(dtype: torch.dtype, count: int) -> list[Tensor]:
    ordinary = [torch.randn(997, dtype=dtype) * scale for scale in (0.1, 1.0, 10.0)]
    return [
        torch.cat([*ordinary, torch.tensor(SPECIAL, dtype=dtype).roll(k)]) for k in range(count)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", [name for name in ELEMENTWISE if name != "constant"])
def test_equals_torch(op: str, dtype: torch.dtype) -> None:
    inputs = operands(dtype, ELEMENTWISE[op][0])
    if op == "pow":
        inputs[0] = inputs[0].abs()
    value = [0.75] if op in TAKES_VALUE else []
    got, expected = apply(op, *inputs, value=0.75), TORCH[op](*inputs, *value)
    assert torch.equal(got.isnan(), expected.isnan())
    infinite = expected.isinf()
    torch.testing.assert_close(got[infinite], expected[infinite])
    got, expected = got[expected.isfinite()], expected[expected.isfinite()]
    error = (got - expected).abs() / expected.abs().clamp_min(1)
    assert error.max() <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", ["exp", "log", "sigmoid", "expm1", "log1p"])
def test_small_results_are_right_to_their_own_size(op: str, dtype: torch.dtype) -> None:
    x = torch.linspace(-30, 30, 4001, dtype=dtype)
    x = x.exp() if op.startswith("log") else x
    got, expected = apply(op, x), TORCH[op](x)
    assert ((got - expected).abs() / expected.abs().clamp_min(1e-30)).max() <= 10 * TOLERANCE[dtype]


@pytest.mark.parametrize("op", ["sin", "cos"])
def test_large_angles(op: str) -> None:
    x = torch.tensor([1e3, 4e3, 1e5, -1e7, 3e8])
    torch.testing.assert_close(
        apply(op, x), getattr(torch, op)(x.double()).float(), rtol=0, atol=2e-7
    )


@pytest.mark.parametrize("count", [1, 3, 15, 16, 17, 33])
def test_any_length(count: int) -> None:
    x = torch.randn(count)
    torch.testing.assert_close(apply("add", x, x), x + x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", [name for name in ELEMENTWISE if name != "constant"])
def test_no_lane_follows_its_neighbors(op: str, dtype: torch.dtype) -> None:
    """Lanes of padding hold whatever was there before: a result has the same bits beside any."""
    inputs = operands(dtype, ELEMENTWISE[op][0])
    alone = apply(op, *inputs, value=0.75)
    extreme = torch.tensor([1e30, -math.inf, math.nan, 0.0], dtype=dtype)
    for first in (0, 1):
        beside = [t.clone() for t in inputs]
        for t in beside:
            t[first::2] = extreme.repeat(len(t))[: len(t[first::2])]
        kept = slice(1 - first, None, 2)
        integers = torch.int32 if dtype is torch.float32 else torch.int64
        bits = [t[kept].view(integers) for t in (apply(op, *beside, value=0.75), alone)]
        assert torch.equal(*bits)
