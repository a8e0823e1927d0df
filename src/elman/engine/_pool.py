"""Large buffers that are used again: fresh pages from the system cost more than filling them."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

_KEEP = 8  # free blocks of one size
_free: dict[int, list[Any]] = {}
_lock = threading.Lock()


def take(count: int, dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor of ``count`` numbers; its memory returns when torch lets go of it."""
    size = count * dtype.itemsize
    with _lock:
        blocks = _free.get(size)
        block = blocks.pop() if blocks else None
    if block is None:
        block = np.empty(max(size, 1), np.uint8)
    view = block[:size]
    weakref.finalize(view, _give, size, block)
    return torch.from_numpy(view).view(dtype)


def _give(size: int, block: Any) -> None:
    with _lock:
        blocks = _free.setdefault(size, [])
        if len(blocks) < _KEEP:
            blocks.append(block)
