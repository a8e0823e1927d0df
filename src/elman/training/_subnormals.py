"""Flushing of subnormal numbers to zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Treat subnormal floats (below 1e-38) as 0 in this block.

    A gradient that vanishes over hundreds of steps becomes subnormal, and a CPU multiplies such
    numbers twenty times slower. The threads of the native engine use the setting of their caller.

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
