"""Large buffers that are used again: fresh pages from the system cost more than filling them.

Used and idle blocks together are never more than what was once in use at the same time.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elman.engine._lock import fork_safe_lock

_free: dict[int, list[Any]] = {}  # idle blocks by size, the size used last at the end
_held = {"used": 0, "idle": 0, "peak": 0}  # bytes
_lock = fork_safe_lock()  # taken again where the garbage collector gives a block back within take


def take(count: int, dtype: torch.dtype) -> Tensor:
    """An uninitialized tensor of ``count`` numbers; its memory returns when torch lets go of it."""
    size = count * dtype.itemsize
    with _lock:
        block = _pop(size) if size in _free else None
        _held["used"] += size
        _held["peak"] = max(_held["peak"], _held["used"])
        while _free and _held["used"] + _held["idle"] > _held["peak"]:
            _pop(next(iter(_free)))
    if block is None:
        block = np.empty(max(size, 1), np.uint8)
    # The tensor keeps the view alive, and the view's end gives the block back.
    view = block[:size]
    weakref.finalize(view, _give, size, block)
    return torch.from_numpy(view).view(dtype)


def _pop(size: int) -> Any:
    blocks = _free[size]
    block = blocks.pop()
    if not blocks:
        del _free[size]
    _held["idle"] -= size
    return block


def _give(size: int, block: Any) -> None:
    with _lock:
        _free[size] = [*_free.pop(size, []), block]
        _held["used"] -= size
        _held["idle"] += size
