"""C of any cell: single steps from the same state, and ten thousand free ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import elman
import sampling
from elman.cells import CELLS
from unit.exporting.exported_cells import OWN, Steps, cell, code_of, flat, needs_compiler

pytestmark = [needs_compiler, pytest.mark.unchecked]

NAMES = [*(name for name, _ in CELLS), *OWN]
DRAWN = sampling.cases(NAMES, 3)
UNITS = 8
STEPS = 10_000
LOST = 0.01
"""A stream that is further from float64 than this share is on another path: a chaotic cell."""


@pytest.mark.every
@pytest.mark.parametrize("name", DRAWN)
def test_a_step_from_the_same_state_is_the_step(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 1e-6 of the largest value, of the output and of every state."""
    layer = elman.Recurrent(cell(name, UNITS, UNITS)).eval()
    steps = Steps(layer, code_of(layer, tmp_path, monkeypatch))
    state = tree_leaves(layer.initial_state(1))
    for x in torch.randn(50, 1, UNITS):
        output, after = steps.of_torch(x, state)
        got, its_state = steps.of_c(x, state)
        wanted = flat(after)
        largest = max(np.abs(wanted).max(), 1e-3)
        assert np.abs(output - got).max() <= 1e-6 * largest
        assert np.abs(wanted - its_state).max() <= 1e-6 * largest
        state = [s.detach() for s in after]


def streamed(layer: elman.Recurrent, inputs: Tensor) -> np.ndarray:
    stream = elman.Stream(layer)
    return torch.stack([stream(x.unsqueeze(0))[0] for x in inputs]).double().numpy()


@pytest.mark.every
@pytest.mark.parametrize("name", DRAWN[:: 1 if sampling.is_full() else 3])
def test_free_steps_are_as_near_to_float64_as_a_stream(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten thousand steps no further from it than twice what the float32 stream is."""
    layer = elman.Recurrent(cell(name, UNITS, UNITS)).eval()
    code = code_of(layer, tmp_path, monkeypatch)
    inputs = torch.randn(STEPS, UNITS)
    single, got = streamed(layer, inputs), code(inputs.numpy())
    exact = streamed(layer.double(), inputs.double())
    largest, away = np.abs(exact).max(), np.abs(single - exact).max()
    assert np.isfinite(got).all()
    if away < LOST * largest:
        # A number of float32 is itself off by half a unit of its last place.
        assert np.abs(got - exact).max() <= 2 * away + 1e-7 * largest


def test_a_wrong_step_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = elman.Recurrent(cell("gru", UNITS, UNITS)).eval()
    steps = Steps(layer, code_of(layer, tmp_path, monkeypatch))
    state = tree_leaves(layer.initial_state(1))
    with torch.no_grad():
        layer.cell.weight_ih[0, 0] += 1e-4
    x = torch.ones(1, UNITS)
    assert np.abs(steps.of_torch(x, state)[0] - steps.of_c(x, state)[0]).max() > 1e-6
