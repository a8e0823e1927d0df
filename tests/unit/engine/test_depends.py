"""A program is not used any longer than what it was traced from stays as it is."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman
from elman.cells import LSTM, PointwiseCell
from elman.engine import _trace
from elman.engine._depends import Dependence
from elman.engine._lower import Untraceable
from elman.engine._trace import traced
from unit.engine import readings
from unit.engine.readings import stepping


@pytest.fixture(autouse=True)
def same_dtype() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The cells and their globals, loaded for one test only."""
    spec = importlib.util.spec_from_file_location("readings_anew", str(readings.__file__))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "readings_anew", module)
    spec.loader.exec_module(module)
    return module


def run(cell: Any, engine: str) -> Tensor:
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    with torch.no_grad():
        output: Tensor = elman.Recurrent(cell, engine=engine)(x)[0]
    return output


@pytest.mark.parametrize("name", readings.CASES)
def test_a_change_of_what_a_step_reads_is_noticed(name: str, anew: Any) -> None:
    cell, change = anew.CASES[name]()
    before = run(cell, "native")
    torch.testing.assert_close(before, run(cell, "reference"))
    change()
    after = run(cell, "reference")
    torch.testing.assert_close(run(cell, "native"), after, equal_nan=True)
    assert not torch.allclose(after, before)
    assert "native" in elman.explain(elman.Recurrent(cell), torch.zeros(1, 2, 3, dtype=torch.float32)).engines
