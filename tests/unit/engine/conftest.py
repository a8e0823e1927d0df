"""What tests of the engine set is set back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from elman.engine.runtime import _operators


@pytest.fixture(autouse=True)
def shared_as_is_fastest() -> Iterator[None]:
    """After a test that divided a scan among threads in a way of its own."""
    yield
    _operators.split = 0
