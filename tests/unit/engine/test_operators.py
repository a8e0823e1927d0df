"""torch's own check of operators: schema, fake tensors, and what a compiler makes of them."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import pytest
import torch

from elman.cells import GRU, LSTM, PointwiseCell
from elman.engine.compiler._trace import compile_cell
from elman.engine.runtime import _operators, _pool
from unit.engine.own_cells import NormedGRU, Peephole
from unit.engine.test_native import case

pytestmark = [pytest.mark.compile, pytest.mark.filterwarnings("ignore::UserWarning")]
KINDS = [GRU, LSTM, Peephole, NormedGRU]


@pytest.fixture(autouse=True)
def records_without_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs are compared, and a record has gaps that nobody writes or reads."""
    monkeypatch.setattr(_pool, "take", lambda count, dtype: torch.zeros(count, dtype=dtype))
    assert _operators._pool is _pool


def arguments(kind: type[PointwiseCell], *, ragged: bool, save: bool) -> tuple[Any, ...]:
    """Of elman::recurrence."""
    r = case(kind, (5, 4, 3, 6), dtype=torch.float32, ragged=ragged, resets=ragged, reverse=ragged)
    r.cell.requires_grad_(False)
    start = tuple(r.start) if ragged else ()
    ih, hh, b_ih, b_hh, _ = r.cell.weights
    program = compile_cell(r.cell, r.x.dtype, None)
    text, names = program.text, program.parameters
    own = (hh, *(attrgetter(name)(r.cell) for name, _ in names))
    tensors = [r.x, ih, b_ih, b_hh, *r.state, *start, *own]
    return text, r.reverse, len(r.state), len(start), r.lengths, r.reset, save, tensors


@pytest.mark.parametrize("save", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_forward(kind: type[PointwiseCell], ragged: bool, save: bool) -> None:
    torch.library.opcheck(torch.ops.elman.recurrence, arguments(kind, ragged=ragged, save=save))


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_backward(kind: type[PointwiseCell], ragged: bool) -> None:
    *spec, save, tensors = arguments(kind, ragged=ragged, save=True)
    *outputs, record = torch.ops.elman.recurrence(*spec, save, tensors)
    gradients = [torch.randn_like(o) for o in outputs]
    needs = [i % 3 != 1 for i in range(len(tensors))]
    asked = (*spec, needs, outputs[0], record, gradients, tensors)
    torch.library.opcheck(torch.ops.elman.recurrence_backward, asked)
