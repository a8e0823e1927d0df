"""Checks of what a caller passes to cells, layers and streams, each with a clear error."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman._errors import DtypeError, ShapeError, kind_of
from elman.cells import Cell


def check_tensor(name: str, value: Any) -> None:
    """A clear error where ``value`` is something else, an array or a list, say."""
    if isinstance(value, Tensor):
        return
    how = ""
    if isinstance(value, np.ndarray):
        how = ": convert it by torch.from_numpy"
    elif hasattr(value, "to_numpy"):  # a table or a column of pandas or polars
        how = ": convert its numbers by torch.from_numpy(x.to_numpy())"
    elif isinstance(value, (list, tuple, int, float)):
        how = ": convert it by torch.tensor"
    raise DtypeError(f"expected {name} as a torch.Tensor, got {kind_of(value)}{how}")


def check_module(model: Any) -> None:
    """A clear error where ``model`` is something else."""
    if not isinstance(model, nn.Module):
        raise DtypeError(f"expected a model, a torch.nn.Module, got {kind_of(model)}")


def check_dtype(name: str, tensor: Tensor, x: Tensor) -> None:
    """A clear error where ``tensor`` and x differ in dtype, which only autocast evens out."""
    if tensor.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
        raise DtypeError(
            f"expected {name} in {x.dtype}, as the input is, got {tensor.dtype}: convert one by "
            f".to({x.dtype}) or .to({tensor.dtype})"
        )


def check_state(cell: Cell, state: Any, x: Tensor, batch_size: int) -> Any:
    """``state`` as ``cell.State``, every tensor (batch, size) and as x, or a clear error."""
    if isinstance(state, Tensor) and len(cell.states) == 1:
        state = (state,)
    if not isinstance(state, tuple) or len(state) != len(cell.states):
        raise DtypeError(
            f"expected the state of {type(cell).__name__} as a tuple ({', '.join(cell.states)}) of "
            f"tensors, got {type(state).__name__}"
        )
    for name, tensor, size in zip(cell.states, state, cell.state_sizes, strict=True):
        check_tensor(f"state {name} of {type(cell).__name__}", tensor)
        if tuple(tensor.shape) != (batch_size, size):
            raise ShapeError(
                f"expected state {name} of {type(cell).__name__} to have shape "
                f"{(batch_size, size)} (batch, units), got {tuple(tensor.shape)}"
            )
        check_dtype(f"state {name} of {type(cell).__name__}", tensor, x)
    return cell.State(*state)
