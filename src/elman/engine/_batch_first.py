"""Projections of a batch-first sequence without a copy of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_PRODUCTS = frozenset((F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__))


class _BatchFirst(TorchFunctionMode):
    """Inside, a product of a (time, batch, size) view of a batch-first tensor is batch-first too.

    torch copies such a view to multiply it, and the gradient again: for a cell that is elementwise
    in time, this takes longer than all its steps.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _PRODUCTS and args and _is_batch_first(args[0]) and _is_matrix(func, args):
            return func(args[0].transpose(0, 1), *args[1:], **kwargs).transpose(0, 1)
        return func(*args, **kwargs)


def _is_batch_first(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dim() == 3 and x.transpose(0, 1).is_contiguous()


def _is_matrix(func: Any, args: Any) -> bool:
    """Whether the second factor is one for all positions."""
    return func is F.linear or (len(args) == 2 and args[1].dim() == 2)


def project(cell_project: Callable[[Tensor], Any], x: Tensor) -> Any:
    """What the cell projects of ``x`` (time, batch, size), in the layout of ``x``."""
    if x.is_contiguous() or not _is_batch_first(x) or torch.compiler.is_compiling():
        return cell_project(x)
    with _BatchFirst():
        return cell_project(x)
