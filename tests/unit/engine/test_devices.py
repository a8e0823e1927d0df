"""What lies on a device that the engine does not read is refused, never taken for absent."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import elman
from elman.engine import Recurrence, _native

LAYERS = [
    lambda: elman.Recurrent(elman.cells.GRU(3, 5), batch_first=False),
    lambda: elman.Residual(elman.Recurrent(elman.cells.GRU(3, 3), batch_first=False)),
    lambda: elman.LSTM(3, 5),
]


@pytest.mark.parametrize("engine", ["auto", "native", "reference"])
@pytest.mark.parametrize("make", LAYERS)
def test_lengths_on_the_meta_device(make: Any, engine: str) -> None:
    x, lengths = torch.randn(6, 4, 3), torch.tensor([1, 2, 3, 6], device="meta")
    with (
        elman.use_engine(engine),
        pytest.raises(elman.DtypeError, match=r"lengths on cpu, as x is, .* got them on meta"),
    ):
        make()(x, lengths=lengths)


def test_a_layer_that_is_there_itself_takes_them() -> None:
    layer, x = elman.LSTM(3, 5, device="meta"), torch.randn(6, 4, 3, device="meta")
    lengths = torch.tensor([1, 2, 3, 6], device="meta")
    assert layer(x, lengths=lengths)[0].shape == (6, 4, 5)


def test_a_reset_on_the_meta_device() -> None:
    layer, x = elman.LSTM(3, 5), torch.randn(6, 4, 3)
    reset = torch.zeros(6, 4, dtype=torch.bool, device="meta")
    with pytest.raises(RuntimeError, match="meta"):
        layer(x, reset=reset)
    with (
        elman.use_engine("native"),
        pytest.raises(elman.EngineError, match="it runs on the CPU, and reset is on meta"),
    ):
        layer(x, reset=reset)


@pytest.mark.parametrize("part", ["lengths", "reset"])
def test_masks_of_a_recurrence(part: str) -> None:
    cell, x = elman.cells.GRU(3, 5), torch.randn(6, 4, 3)
    masks = {"lengths": torch.ones(4, dtype=torch.int64), "reset": torch.zeros(6, 4).bool()}
    elsewhere = Recurrence(cell, x, cell.initial_state(4), **{part: masks[part].to("meta")})
    assert _native.plan(elsewhere) == f"it runs on the CPU, and {part} is on meta"


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_a_buffer_of_any_type(dtype: torch.dtype) -> None:
    cell, x = elman.cells.GRU(3, 5), torch.randn(6, 4, 3)
    cell.register_buffer("level", torch.ones(5, dtype=dtype, device="meta"))
    reason = _native.plan(Recurrence(cell, x, cell.initial_state(4)))
    assert reason == "it runs on the CPU, and this layer is on meta"
