"""Recurrences one above the other on the native library, one step a call."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman._checks import check_tensor
from elman._errors import DtypeError, ShapeError
from elman.cells import tensors_of
from elman.engine import _native
from elman.engine._native import NativePlan
from elman.engine._recurrence import Recurrence
from elman.engine._select import effective_engine
from elman.engine.compiler._trace import reads_around, unchanged
from elman.engine.runtime._library import library
from elman.engine.runtime._operators import NativeCall, ScanSpec
from elman.engine.runtime._tensors import described

__all__ = ["CutSteps", "NativeSteps", "StackPlan", "StackedRecurrence", "native_steps", "plan"]

MOST_LAYERS = 64
Buffers = tuple[Tensor, Tensor]  # an input and an output


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
    return _native.plan_step(level.recurrence)


def native_steps(stack: StackPlan, buffers: Buffers | None = None) -> NativeSteps | CutSteps:
    """Steps the stack, in one call of the library if it projects all inputs itself.

    Args:
        stack: how the library steps them; see :func:`plan`.
        buffers: the input and the output of the steps before these, to go on with.
    """
    cuts = _cuts(stack)
    if len(cuts) == 1 and stack.layers[0].affine is not None:
        return NativeSteps(stack, buffers)
    return CutSteps(stack, cuts, buffers)


def _cuts(stack: StackPlan) -> list[int]:
    """The first layers of the parts that are one call each.

    A part begins with each cell that projects its input itself, in torch, and with what is added
    to the output of another part; and it ends where such a sum is made.
    """
    count, cuts = len(stack.layers), {0}
    cuts |= {i for i, layer in enumerate(stack.layers) if layer.affine is None}
    pairs = [(i, below) for i, added in enumerate(stack.residuals) for below in added]
    while True:
        apart = [
            (i, below)
            for i, below in pairs
            if stack.layers[below].affine is None or any(below < cut <= i for cut in cuts)
        ]
        ends = {i + 1 for i, _ in apart if i + 1 < count} | {below for _, below in apart}
        if ends <= cuts:
            return sorted(cuts)
        cuts |= ends


class NativeSteps:
    """Steps a stack of recurrences by one call of the native library.

    Args:
        stack: how the library steps them; see :func:`plan`. Only the first of its cells may project
            its input itself, and x is then what it projects, side by side.
        buffers: the input and the output of the steps before these, to go on with.

    Attributes:
        input: (rows, input_size), what :attr:`step` reads.
        output: (rows, output_size), what it writes.
        step: one step of all rows, a plain call of the library; returns what went wrong.
        states: how many states all layers have.
        watched: cells whose step reads what could change.
    """

    input: Tensor
    output: Tensor
    step: Callable[[], bytes | None]

    def __init__(self, stack: StackPlan, buffers: Buffers | None = None) -> None:
        self._calls = [_call_of(layer) for layer in stack.layers]
        self._native = library().stream(
            [
                (call.scan, call.tensors(), residuals)
                for call, residuals in zip(self._calls, stack.residuals, strict=True)
            ]
        )
        recurrences = [layer.recurrence for layer in stack.layers]
        x = recurrences[0].x[0]
        if stack.layers[0].affine is None:
            x = _side_by_side(recurrences[0].projected(), x.dtype)[0]
        new = torch.zeros_like(x), x.new_zeros(x.shape[0], self._calls[-1].units)
        self.input, self.output = buffers or new
        self.watched = [r.cell for r in recurrences if reads_around(r.cell)]
        self._shape, self._dtype = x.shape, x.dtype
        self.states = sum(len(r.state) for r in recurrences)
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
        if x.shape == self._shape and x.is_cpu and torch.is_autocast_enabled("cpu"):
            return x.to(self._dtype)
        raise _misfit(x, self._shape, self._dtype)

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


class _Part(NamedTuple):
    """Layers that are stepped by one call.

    ``recurrence`` is the first one's if its cell projects the input, ``added`` the parts whose
    input is added to the output.
    """

    recurrence: Recurrence | None
    steps: NativeSteps
    added: tuple[int, ...]


class CutSteps:
    """Steps a stack part by part, with what cells project in between, in torch.

    Args:
        stack: how the library steps them; see :func:`plan`.
        cuts: the first layers of the parts.
        buffers: the input and the output of the steps before these, to go on with.

    Attributes:
        input, output, watched: as those of :class:`NativeSteps`.
    """

    def __init__(
        self, stack: StackPlan, cuts: Sequence[int], buffers: Buffers | None = None
    ) -> None:
        ends = [*cuts[1:], len(stack.layers)]
        self._parts = [
            _part(stack, cuts, first, end) for first, end in zip(cuts, ends, strict=True)
        ]
        x = stack.layers[0].recurrence.x[0]
        self.input, self.output = buffers or (
            torch.zeros_like(x),
            torch.zeros_like(self._parts[-1].steps.output),
        )
        self.watched = [cell for part in self._parts for cell in part.steps.watched]
        self._shape, self._dtype = x.shape, x.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """The output (rows, output_size) for x."""
        check_tensor("x", x)
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return self(x.to(self._dtype))
        if x.shape != self._shape or x.dtype is not self._dtype or not x.is_cpu:
            raise _misfit(x, self._shape, self._dtype)
        x, inputs = x.detach(), list[Tensor]()
        for recurrence, part, added in self._parts:
            inputs.append(x)
            if recurrence is not None:
                x = _side_by_side(recurrence.cell.project(x), self._dtype)
            x = part(x)
            for number in added:
                x = x + inputs[number]
        return x

    def step(self) -> None:
        """One step of all rows, from :attr:`input` to :attr:`output`."""
        self.output.copy_(self(self.input))

    def hold(self) -> bool:
        """Whether nothing has changed that the programs of these cells depend on."""
        return all(map(unchanged, self.watched))

    def read(self) -> list[Tensor]:
        """A copy of each state (rows, units), layer by layer."""
        return [state for part in self._parts for state in part.steps.read()]

    def write(self, states: Iterable[Tensor], where: Tensor | None = None) -> None:
        """Sets the states of all rows, or of those that are True in ``where``."""
        states = iter(states)
        for part in self._parts:
            part.steps.write(islice(states, part.steps.states), where)


def _part(stack: StackPlan, cuts: Sequence[int], first: int, end: int) -> _Part:
    """The layers from ``first`` to before ``end``."""
    layers, residuals = stack.layers[first:end], stack.residuals[first:end]

    def apart(i: int) -> bool:
        return i < first or stack.layers[i].affine is None

    inside = tuple(tuple(i - first for i in each if not apart(i)) for each in residuals)
    return _Part(
        layers[0].recurrence if layers[0].affine is None else None,
        NativeSteps(StackPlan(layers, inside)),
        tuple(cuts.index(i) for i in residuals[-1] if apart(i)),
    )


def _side_by_side(projected: Any, dtype: torch.dtype) -> Tensor:
    """What a cell projects for one step as one tensor of the library's dtype."""
    tensors = [t.to(dtype) for t in tensors_of(projected)]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, -1)


def _misfit(x: Tensor, shape: torch.Size, dtype: torch.dtype) -> ShapeError | DtypeError:
    """What is wrong with an input of another shape, dtype or device."""
    if x.shape != shape:
        return ShapeError(
            f"expected x of shape {tuple(shape)}, one input for each row, got {tuple(x.shape)}"
        )
    return DtypeError(
        f"expected x in {dtype} on the CPU, as the weights were when this stream was made or "
        f"refreshed, got {x.dtype} on {x.device}"
    )


def _call_of(layer: NativePlan) -> NativeCall:
    inputs, parameters = layer.arguments()
    state = layer.recurrence.state
    tensors = [*inputs, *state, *parameters]
    return NativeCall(ScanSpec(layer.program.text, False, len(state), 0, None, None), tensors)


def __dir__() -> list[str]:
    return sorted(__all__)
