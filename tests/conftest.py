"""Every test starts from the same seed, in its own empty folder, on one thread."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

# No test is about time: a machine that does other work too would fail it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers whichever tests run, and in whichever order."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colour and a known width, so that printed text can be compared."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
