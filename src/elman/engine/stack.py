"""Recurrences one above the other on the native library, one step a call."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from elman._checks import check_tensor
from elman._errors import DtypeError, ShapeError
from elman.engine import _native
from elman.engine._native import NativePlan
from elman.engine._recurrence import Recurrence
from elman.engine._select import effective_engine
from elman.engine.compiler._trace import reads_around, unchanged
from elman.engine.runtime._library import encoded, library
from elman.engine.runtime._operators import NativeCall, ScanSpec
from elman.engine.runtime._tensors import described

__all__ = ["NativeSteps", "StackPlan", "StackedRecurrence", "plan"]

MOST_LAYERS = 64


@dataclass(frozen=True)
class StackedRecurrence:
    """One recurrence of a stack of layers.

    Attributes:
        recurrence: its x is one step, (1, rows, input_size).
        engine: that of the layer it is from.
        path: where it is in the model.
        residuals: the recurrences of the stack whose input is added to its output.
    """

    recurrence: Recurrence
    engine: str
    path: str
    residuals: tuple[int, ...] = ()


class StackPlan(NamedTuple):
    """How the library steps a stack of recurrences.

    Attributes:
        layers: from below to above.
        residuals: of each, the layers whose input is added to its output.
    """

    layers: tuple[NativePlan, ...]
    residuals: tuple[tuple[int, ...], ...]


def plan(stack: Sequence[StackedRecurrence]) -> StackPlan | str:
    """How the library steps these, from below to above, or the reason why it cannot."""
    engine = effective_engine("auto")
    if engine not in ("auto", "native"):
        return f"{engine!r} was asked for"
    if len(stack) > MOST_LAYERS:
        return f"it has {len(stack)} layers, and at most {MOST_LAYERS} step as one"
    layers: list[NativePlan] = []
    for level in stack:
        layer = _plan_level(level, stack[0].recurrence.x.dtype)
        if isinstance(layer, str):
            return f"{level.path}: {layer}"
        layers.append(layer)
    return StackPlan(tuple(layers), tuple(level.residuals for level in stack))


def _plan_level(level: StackedRecurrence, dtype: torch.dtype) -> NativePlan | str:
    if level.engine not in ("auto", "native"):
        return f"{level.engine!r} was asked for"
    if level.recurrence.x.dtype != dtype:
        return "it does not compute in the dtype of the layer below"
    layer = _native.plan(level.recurrence)
    if isinstance(layer, NativePlan) and not _has_plain_gates(layer):
        return "its step has matrix products of its own"
    return layer


def _has_plain_gates(layer: NativePlan) -> bool:
    """Whether all matrix products are of the last state: what native/src/stream.h steps."""
    program = encoded(layer.program.text).program
    first, *later = program.inference
    return (
        bool(program.projected and first.products)
        and not any(phase.products for phase in later)
        and all(p.sources == ("p0",) and p.start[:1] in ("", "i") for p in first.products)
    )


class NativeSteps:
    """Steps a stack of recurrences on the native library.

    Args:
        stack: how the library steps them; see :func:`plan`.
        buffers: the input and the output of the steps before these, to go on with.

    Attributes:
        input: (rows, input_size), what :attr:`step` reads.
        output: (rows, output_size), what it writes.
        step: one step of all rows, a plain call of the library; returns what went wrong.
        watched: cells whose step reads what could change.
    """

    input: Tensor
    output: Tensor
    step: Callable[[], bytes | None]

    def __init__(self, stack: StackPlan, buffers: tuple[Tensor, Tensor] | None = None) -> None:
        self._calls = [_call_of(layer) for layer in stack.layers]
        self._native = library().stream(
            [
                (call.scan, call.tensors(), residuals)
                for call, residuals in zip(self._calls, stack.residuals, strict=True)
            ]
        )
        recurrences = [layer.recurrence for layer in stack.layers]
        x = recurrences[0].x[0]
        new = torch.zeros_like(x), x.new_zeros(x.shape[0], self._calls[-1].units)
        self.input, self.output = buffers or new
        self.watched = [r.cell for r in recurrences if reads_around(r.cell)]
        self._shape, self._dtype = x.shape, x.dtype
        self.write(s for r in recurrences for s in r.state)
        self._places = described((self.input, self.output))
        self._sizes = tuple(described((t,))[1:] for t in (self.input, self.output))
        self.step = self._native.bound(self._places)

    def __call__(self, x: Tensor) -> Tensor:
        """The output (rows, output_size) for x."""
        check_tensor("x", x)
        if x.shape != self._shape or x.dtype is not self._dtype or not x.is_cpu:
            x = self._fitting(x)
        if not x.is_contiguous():
            x = x.contiguous()
        output = torch.empty_like(self.output)
        # As described((x, output)) has it: all but the addresses is as it was, and was compared.
        of_x, of_y = self._sizes
        self._native.step(array("q", (x.data_ptr(), *of_x, output.data_ptr(), *of_y)))
        return output

    def hold(self) -> bool:
        """Whether nothing has changed that the programs of these cells depend on."""
        return all(map(unchanged, self.watched))

    def _fitting(self, x: Tensor) -> Tensor:
        """``x`` in the dtype of the weights where autocast is on; otherwise what is wrong."""
        if x.shape != self._shape:
            raise ShapeError(
                f"expected x of shape {tuple(self._shape)}, one input for each row, got "
                f"{tuple(x.shape)}"
            )
        if x.is_cpu and torch.is_autocast_enabled("cpu"):
            return x.to(self._dtype)
        raise DtypeError(
            f"expected x in {self._dtype} on the CPU, as the weights were when this stream was "
            f"made or refreshed, got {x.dtype} on {x.device}"
        )

    def read(self) -> list[Tensor]:
        """A copy of each state (rows, units), layer by layer."""
        states = [s.new_empty(s.shape) for call in self._calls for s in call.state if s is not None]
        self._native.read(described(states))
        return states

    def write(self, states: Iterable[Tensor], where: Tensor | None = None) -> None:
        """Sets the states of all rows, or of those that are True in ``where``."""
        states = [s.contiguous() for s in states]
        where = None if where is None else where.cpu().contiguous()
        self._native.write(described((*states, where)))


def _call_of(layer: NativePlan) -> NativeCall:
    inputs, parameters = layer.arguments()
    state = layer.recurrence.state
    tensors = [*inputs, *state, *parameters]
    return NativeCall(ScanSpec(layer.program.text, False, len(state), 0, None, None), tensors)


def __dir__() -> list[str]:
    return sorted(__all__)
