"""Tensors as the native library takes them, which checks each of them (native/src/abi.h)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import torch
from torch import Tensor

# In the order of elman_kind in native/src/abi.h; 16 times that, beside the dimensions.
KINDS: dict[torch.dtype, int] = {
    dtype: 16 * kind
    for kind, dtype in enumerate(
        (
            torch.float32, torch.float64, torch.int64, torch.bool, torch.uint8, torch.int8,
            torch.int16, torch.int32, torch.float16, torch.bfloat16, torch.complex64,
            torch.complex128,
        ),
        start=1,
    )
}  # fmt: skip
_OTHER, _STRIDED = 16 * (len(KINDS) + 1), 8


def described(tensors: Iterable[Tensor | None]) -> array[int]:
    """The address, dtype, sizes and strides of each tensor, in one list of numbers.

    What it says is true for as long as the tensors live and are not changed in their metadata.
    """
    numbers: list[int] = []
    for t in tensors:
        if t is None:
            numbers += (0, 0)
            continue
        shape = t.shape
        kind = KINDS.get(t.dtype, _OTHER)
        if t.is_contiguous():
            if len(shape) > 7:  # a parameter of the cell's own, of which only the count matters
                shape = torch.Size((t.numel(),))
            numbers += (t.data_ptr(), kind + len(shape), *shape)
        else:
            numbers += (t.data_ptr(), kind + _STRIDED + len(shape), *shape, *t.stride())
    return array("q", numbers)
