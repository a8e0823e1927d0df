"""The nearest training row, against the distances themselves."""

from __future__ import annotations

import numpy as np
import pytest

from elman.baselines import NearestRow, _nearest


@pytest.mark.parametrize("at_once", [3, 1000])
def test_it_is_the_nearest(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(_nearest, "AT_ONCE", at_once)
    draw = np.random.default_rng(0)
    train, rows = (draw.integers(0, 256, (n, 12)).astype(np.uint8) for n in (20, 15))
    apart = np.square(rows[:, None].astype(float) - train[None]).sum(-1)
    assert NearestRow(train).rows(rows).tolist() == apart.argmin(1).tolist()
