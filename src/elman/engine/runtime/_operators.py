"""The library as torch sees it: two raw operators, forward and backward, without gradients.

Both take a scan (:class:`ScanSpec`) and its tensors in one list: the inputs, the states before the
first step, those after a reset (or none), and the cell's own tensors in the order of the program.
The inputs are x, weight_ih, bias_ih and bias_hh where the library projects (and weight_hh is the
first of the own tensors); otherwise they are what the cell's ``project`` returned.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.engine.compiler._program import Program
from elman.engine.runtime import _pool
from elman.engine.runtime._library import EncodedProgram, Scan, encoded, library
from elman.engine.runtime._tensors import described


class ScanSpec(NamedTuple):
    """What both operators take, in the order of their schemas, beside the tensors of the scan.

    Attributes:
        program: as text, so that a compile cache on disk holds the program and no handle of it.
        reverse: from the last step to the first.
        states: how many states the cell has.
        starts: how many states after a reset are among the tensors: as many, or none.
        lengths: integers (batch,), or None.
        reset: booleans (time, batch), or None.
    """

    program: str
    reverse: bool
    states: int
    starts: int
    lengths: Tensor | None
    reset: Tensor | None


_SPEC = "str program, bool reverse, int states, int starts, Tensor? lengths, Tensor? reset"
torch.library.define("elman::recurrence", f"({_SPEC}, bool save, Tensor?[] tensors) -> Tensor[]")
torch.library.define(
    "elman::recurrence_backward",
    f"({_SPEC}, bool[] needs, Tensor output, Tensor record, Tensor?[] gradients,"
    " Tensor?[] tensors) -> Tensor[]",
)


split = 0
"""How threads divide a scan: 0 as is fastest; tests ask for rows, 1, or units, 2.

It holds for the process, since a backward may run in a thread of autograd's.
"""


@contextmanager
def division(how: int) -> Iterator[None]:
    """Inside, threads divide every scan of the process as ``split`` has it: 0, 1 or 2."""
    global split  # noqa: PLW0603 - see there
    outer, split = split, how
    try:
        yield
    finally:
        split = outer


def _like_x(x: Tensor, size: int) -> Tensor:
    """A new (time, batch, size), laid out as x: time or batch outermost."""
    steps, batch, _ = x.shape
    step, row, _ = x.stride()
    if step >= row:
        return x.new_empty(steps, batch, size)
    return x.new_empty(batch, steps, size).transpose(0, 1)


def _empty_gradient(t: Tensor, is_input: bool) -> Tensor:
    return _like_x(t, t.shape[2]) if is_input and t.dim() == 3 else torch.empty_like(t)


def _contiguous(t: Tensor | None) -> Tensor | None:
    return t if t is None or t.is_contiguous() else t.contiguous()


def _rows_contiguous(t: Tensor) -> Tensor:
    return t if t.stride(-1) == 1 else t.contiguous()


def _record_size(p: Program, steps: int, batch: int, units: int) -> int:
    """How many numbers the forward keeps beside its output (the record of native/src/scan.h).

    At most: it depends on no number of threads, which may be another one when a compiled graph
    runs, or its backward. There are gaps for each team of at least eight rows.
    """
    padded = (units + 15) // 16 * 16
    gaps = 16 * steps * (batch // 8 + 1)
    return 32 + (p.states - 1 + p.saved) * padded * batch * steps + gaps


class NativeCall:
    """What both operators hand to the library, and what must stay alive while it runs."""

    def __init__(self, spec: ScanSpec, tensors: Sequence[Tensor | None]) -> None:
        self.code: EncodedProgram = encoded(spec.program)
        count = self.code.incoming
        first, *others = tensors[:count]
        assert first is not None
        self.x = _rows_contiguous(first)
        if self.code.program.projected:
            self.inputs = [self.x, *map(_contiguous, others)]
        else:
            self.inputs = [self.x, *(None if t is None else _rows_contiguous(t) for t in others)]
        rest = [*map(_contiguous, tensors[count:])]
        self.state = rest[: spec.states]
        self.start = rest[spec.states : spec.states + spec.starts]
        self.own = rest[spec.states + spec.starts :]
        self.lengths = None if spec.lengths is None else spec.lengths.to(torch.int64).contiguous()
        self.reset = spec.reset
        self.reverse = spec.reverse
        assert self.state[0] is not None
        self.units = self.state[0].shape[1]

    @property
    def cell(self) -> tuple[Tensor | None, ...]:
        """All tensors that the cell computes with."""
        return (*self.inputs, *self.state, *self.start, *self.own)

    @property
    def scan(self) -> Scan:
        threads = torch.get_num_threads()
        return Scan(self.code.address, threads, split, self.reverse, len(self.start))

    def tensors(self, *others: Tensor | None) -> array[int]:
        """The list of tensors in native/src/abi.h: these live as long as this call."""
        return described((*self.cell, self.lengths, self.reset, *others))


def forward(spec: ScanSpec, save: bool, tensors: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """The scan: (output, *final states, *watched values, record)."""
    call = NativeCall(spec, tensors)
    steps, batch, _ = call.x.shape
    output = _like_x(call.x, call.units)
    final = [call.x.new_empty(batch, call.units) for _ in range(spec.states)]
    watched = [_like_x(call.x, call.units) for _ in range(call.code.program.watched)]
    if save:
        size = _record_size(call.code.program, steps, batch, call.units)
        record = _pool.take(size, call.x.dtype)
    else:
        record = call.x.new_empty(0)
    kept = record if save else None
    library().forward(call.scan, call.tensors(output, kept, *watched, *final))
    return (output, *final, *watched, record)


def backward(
    spec: ScanSpec,
    needs: Sequence[bool],
    output: Tensor,
    record: Tensor,
    gradients: Sequence[Tensor | None],
    tensors: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """The gradient of each tensor that needs one, from those of the scan's outputs."""
    call = NativeCall(spec, tensors)
    states = spec.states
    of_output = None if gradients[0] is None else _rows_contiguous(gradients[0])
    of_final = [None if t is None else t.contiguous() for t in gradients[1 : 1 + states]]
    of_watched = [None if t is None else _rows_contiguous(t) for t in gradients[1 + states :]]
    count = len(call.inputs)
    down = [
        None if t is None or not need else _empty_gradient(t, i < count)
        for i, (t, need) in enumerate(zip(call.cell, needs, strict=True))
    ]
    output = _rows_contiguous(output)  # lives until the library is done
    library().backward(
        call.scan, call.tensors(output, record, *of_watched, of_output, *of_final, *down)
    )
    return tuple(down)


# torch passes the arguments of a schema one by one, the spec's first.
_LENGTH = len(ScanSpec._fields)


@torch.library.impl("elman::recurrence", "CPU")
def _recurrence(*args: Any) -> list[Tensor]:
    return list(forward(ScanSpec(*args[:_LENGTH]), *args[_LENGTH:]))


@torch.library.register_fake("elman::recurrence")  # type: ignore[untyped-decorator]
def _recurrence_fake(*args: Any) -> list[Tensor]:
    spec, (save, tensors) = ScanSpec(*args[:_LENGTH]), args[_LENGTH:]
    code = encoded(spec.program)
    x, state = tensors[0], tensors[code.incoming]
    steps, batch = x.shape[:2]
    units = state.shape[1]
    size = _record_size(code.program, steps, batch, units) if save else 0
    return [
        _like_x(x, units),
        *(x.new_empty(batch, units) for _ in range(spec.states)),
        *(_like_x(x, units) for _ in range(code.program.watched)),
        x.new_empty(size),
    ]


@torch.library.impl("elman::recurrence_backward", "CPU")
def _recurrence_backward(*args: Any) -> list[Tensor]:
    # An operator returns tensors, so an empty one stands for none; a new one, since outputs of an
    # operator must not alias each other.
    x = args[-1][0]
    down = backward(ScanSpec(*args[:_LENGTH]), *args[_LENGTH:])
    return [x.new_empty(0) if t is None else t for t in down]


@torch.library.register_fake("elman::recurrence_backward")  # type: ignore[untyped-decorator]
def _recurrence_backward_fake(*args: Any) -> list[Tensor]:
    spec, (needs, _, _, _, tensors) = ScanSpec(*args[:_LENGTH]), args[_LENGTH:]
    x, count = tensors[0], encoded(spec.program).incoming
    return [
        x.new_empty(0)
        if t is None or not need
        else _empty_gradient(t if i < count else t.contiguous(), i < count)
        for i, (t, need) in enumerate(zip(tensors, needs, strict=True))
    ]
