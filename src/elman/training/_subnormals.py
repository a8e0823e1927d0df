"""Very small numbers as zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Within, floats that are too small for full precision (below 1e-38) count as 0.

    A gradient that fades over hundreds of steps ends among them, and there a CPU takes twenty times
    as long for every product. The native engine's threads compute as the one that calls them.

    >>> with subnormals_as_zero():
    ...     (torch.tensor([1e-38]) * 0.01).item()
    0.0
    """
    before = bool((torch.tensor([1e-38]) * 0.01).eq(0))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
