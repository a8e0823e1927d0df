"""The contract of a layer: sequences in, (output, state) out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from elman._checks import check_tensor
from elman._errors import DtypeError, ShapeError


class Options(TypedDict, total=False):
    """What a layer takes beside its input and state; see :class:`Layer`."""

    lengths: Tensor | None
    reset: Tensor | None
    observe: bool


class Layer(nn.Module, ABC):
    """Maps a batch of sequences to a batch of sequences and carries a state.

    Layers are called as ``layer(x, state=None, *, lengths=None, reset=None, observe=False)``:

    - ``x`` (batch, time, input_size), or (time, batch, input_size) unless ``batch_first``;
    - ``state`` before the first step, as returned by the last call; the initial state if None;
    - ``lengths`` (batch,) integers from 0 to time, on any device, in any order: the real steps of
      each row. Outputs at padding are 0 and the state is the one after the last real step. Values
      out of range are an error on the CPU; on a GPU, where looking would wait for it, they are
      taken as the nearest in range;
    - ``reset`` (batch, time) boolean, or (time, batch) unless ``batch_first``, laid out like x: the
      row starts that step from its initial state. Where there are as many rows as steps, a mask of
      the other layout has the right shape too, and cannot be distinguished;
    - ``observe=True`` also returns every watched gate, 0 at padding, and state of every step; they
      carry gradients.

    They return ``(output, state)``, and ``(output, state, observed)`` if ``observe``.
    """

    input_size: int
    output_size: int
    batch_first: bool

    @abstractmethod
    def forward(self, x: Tensor, state: Any = None, **options: Unpack[Options]) -> Any:
        """Output and state of whole sequences; see the class."""

    @abstractmethod
    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One time step, same weights: x (batch, input_size) to output (batch, output_size)."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """The state that None stands for: (batch, size) tensors."""


def check_sequences(layer: Layer, x: Tensor) -> int:
    """The batch size of x, or a clear error."""
    check_tensor("x", x)
    layout = "(batch, time, input_size)" if layer.batch_first else "(time, batch, input_size)"
    if x.dim() != 3 or x.shape[-1] != layer.input_size:
        raise ShapeError(
            f"expected x of shape {layout} with input_size={layer.input_size}, got {tuple(x.shape)}"
        )
    return x.shape[0 if layer.batch_first else 1]


def check_lengths(lengths: Tensor, batch: int, steps: int, x: Tensor) -> Tensor:
    """``lengths`` if they are (batch,) integers from 0 to ``steps``, or a clear error.

    Their values are looked at where that is free: on the CPU, and outside of what transforms a
    function. Elsewhere a length beyond the steps stands for all of them, one below 0 for none.
    """
    if not isinstance(lengths, Tensor) or lengths.is_floating_point() or lengths.is_complex():
        got = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
        raise DtypeError(f"expected lengths as an integer tensor, got {got}")
    if tuple(lengths.shape) != (batch,):
        raise ShapeError(
            f"expected lengths of shape ({batch},), one for each row, got {tuple(lengths.shape)}"
        )
    if lengths.is_meta and not x.is_meta:
        raise DtypeError(
            f"expected lengths on {x.device}, as x is, or on another device that holds their "
            "values, got them on meta"
        )
    if batch and lengths.device.type == "cpu" and not _transformed(lengths):
        low, high = (int(n) for n in lengths.aminmax())
        if low < 0 or high > steps:
            wrong = low if low < 0 else high
            row = lengths.tolist().index(wrong)
            raise ShapeError(
                f"expected lengths from 0 to {steps}, the steps of x, got {wrong} in row {row}"
            )
    return lengths


def _transformed(tensor: Tensor) -> bool:
    """Whether it stands for values that are not known here."""
    return (
        torch.compiler.is_compiling()
        or type(tensor) not in (Tensor, nn.Parameter)
        or torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def check_reset(reset: Tensor, x: Tensor, batch_first: bool) -> Tensor:
    """``reset`` if it is a boolean mask laid out as x, or a clear error."""
    shape = tuple(x.shape[:2])
    if not isinstance(reset, Tensor) or reset.dtype.is_floating_point:
        got = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
        raise DtypeError(f"expected reset as a boolean tensor, got {got}")
    if tuple(reset.shape) != shape:
        layout = "(batch, time)" if batch_first else "(time, batch)"
        raise ShapeError(
            f"expected reset of shape {shape}, {layout} as x is laid out, got {tuple(reset.shape)}"
        )
    return reset.bool()
