"""The library as torch sees it: two raw operators, forward and backward, without gradients.

They take the program as text and the tensors in one list: what comes in, the states before the
first step, those after a reset (or none), and the cell's own tensors in the order of the program.
What comes in is x, weight_ih, bias_ih and bias_hh, where the program is of a projected input (and
weight_hh is the first of the own tensors); otherwise it is what the cell's ``project`` gave.
"""

# ruff: noqa: ARG001 - operators and rules take what their schema says
from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from elman.engine import _pool
from elman.engine._library import BackwardOut, Encoded, Scan, encoded, library
from elman.engine._program import Program

torch.library.define(
    "elman::recurrence",
    "(str program, bool reverse, bool save, int states, int starts, Tensor? lengths,"
    " Tensor? reset, Tensor?[] tensors) -> Tensor[]",
)
torch.library.define(
    "elman::recurrence_backward",
    "(str program, bool reverse, int states, int starts, Tensor? lengths, Tensor? reset,"
    " bool[] needs, Tensor output, Tensor record, Tensor?[] gradients, Tensor?[] tensors)"
    " -> Tensor[]",
)


split = 0
"""How threads divide a scan: 0 as is fastest; tests ask for rows, 1, or units, 2."""


def _like_x(x: Tensor, size: int) -> Tensor:
    """A new (time, batch, size), laid out as x: time or batch outermost."""
    steps, batch, _ = x.shape
    step, row, _ = x.stride()
    if step >= row:
        return x.new_empty(steps, batch, size)
    return x.new_empty(batch, steps, size).transpose(0, 1)


def _gradient_of(t: Tensor, comes_in: bool) -> Tensor:
    return _like_x(t, t.shape[2]) if comes_in and t.dim() == 3 else torch.empty_like(t)


def _sequence(t: Tensor | None) -> tuple[int, int, int]:
    """Where a (time, batch, size) begins, and its strides over the batch and over time."""
    if t is None:
        return (0, 0, 0)
    step, row, _ = t.stride()
    return t.data_ptr(), row, step


def addresses(tensors: Iterable[Tensor | None]) -> list[int]:
    """Where each begins; 0 for none."""
    return [0 if t is None else t.data_ptr() for t in tensors]


class Lists:
    """Lists of addresses, one after the other in memory that lives as long as this.

    ``at`` says where each begins.
    """

    def __init__(self, *lists: Iterable[int]) -> None:
        numbers, begin = array("q"), []
        for each in lists:
            begin.append(8 * len(numbers))
            numbers.extend(each)
        self._numbers = numbers
        first, _ = numbers.buffer_info()
        self.at = [first + b for b in begin]


def _contiguous(t: Tensor | None) -> Tensor | None:
    return t if t is None or t.is_contiguous() else t.contiguous()


def _rows_contiguous(t: Tensor) -> Tensor:
    return t if t.stride(-1) == 1 else t.contiguous()


def _slots(own: Sequence[Tensor | None], units: int) -> list[int]:
    """The addresses of the cell's own tensors, cut into one number per unit each."""
    pieces = [(t, i) for t in own for i in range(1 if t is None else max(1, t.numel() // units))]
    return [0 if t is None else t.data_ptr() + i * units * t.element_size() for t, i in pieces]


def _gates(inputs: Sequence[Tensor | None], widths: Sequence[int]) -> Iterator[int]:
    """As _sequence, for each gate of the inputs."""
    for t, gates in zip(inputs, widths, strict=True):
        first, row, step = _sequence(t)
        size = 0 if t is None else t.shape[2] // gates * t.element_size()
        for i in range(gates):
            yield from (first + i * size, row, step)


def _record_size(p: Program, steps: int, batch: int, units: int) -> int:
    """How many numbers the forward keeps beside its output (the record of native/src/scan.h).

    At most: it depends on no number of threads, which may be another one when a compiled graph
    runs, or its backward. There are gaps for each team of at least eight rows.
    """
    padded = (units + 15) // 16 * 16
    gaps = 16 * steps * (batch // 8 + 1)
    return 32 + (p.states - 1 + p.saved) * padded * batch * steps + gaps


class _Call:
    """What both operators hand to the library, and what must stay alive while it runs."""

    def __init__(
        self,
        program: str,
        reverse: bool,
        states: int,
        starts: int,
        lengths: Tensor | None,
        reset: Tensor | None,
        tensors: Sequence[Tensor | None],
    ) -> None:
        self.code: Encoded = encoded(program)
        count = self.code.incoming
        first, *others = tensors[:count]
        assert first is not None
        self.x = _rows_contiguous(first)
        if self.code.program.projected:
            self.incoming = [self.x, *map(_contiguous, others)]
        else:
            self.incoming = [self.x, *(None if t is None else _rows_contiguous(t) for t in others)]
        rest = [*map(_contiguous, tensors[count:])]
        self.state = rest[:states]
        self.start = rest[states : states + starts]
        self.own = rest[states + starts :]
        self.lengths = None if lengths is None else lengths.to(torch.int64).contiguous()
        self.reset = reset
        self.reverse = reverse
        assert self.state[0] is not None
        self.units = self.state[0].shape[1]

    def cut(self, own: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """The cell's own tensors, or their gradients: matrices, and others."""
        matrices = len(self.code.matrices)
        return own[:matrices], own[matrices:]

    def scan(
        self,
        output: Tensor | None,
        record: Tensor | None,
        watch: Sequence[Tensor | None] = (),
        *more: Iterable[int],
    ) -> tuple[Scan, list[int]]:
        """The structure, and where ``more`` lists are: they live as long as this call."""
        p, reset = self.code.program, self.reset
        steps, batch, inputs = self.x.shape
        matrices, others = self.cut(self.own)
        weights: Sequence[int] = (0, 0, 0)
        given: Iterable[int] = ()
        if p.projected:
            weights = addresses(self.incoming[1:])
        else:
            inputs, given = 0, _gates(self.incoming, p.inputs)
        self._lists = Lists(
            addresses(self.state),
            addresses(self.start) if self.start else [0] * p.states,
            _slots(others, self.units),
            addresses(matrices),
            given,
            chain.from_iterable(map(_sequence, watch)),
            *more,
        )
        initial, fresh, parameter, matrix, inputs_at, watched, *places = self._lists.at
        return Scan._make((
            self.x.dtype == torch.float64, torch.get_num_threads(), split, self.reverse,
            self.code.gates, p.states, p.saved, len(self.code.slots),
            batch, steps, inputs, self.units,
            0 if self.lengths is None else self.lengths.data_ptr(),
            *((0, 0, 0) if reset is None else (reset.data_ptr(), reset.stride(1), reset.stride(0))),
            *_sequence(self.x),
            *_sequence(output),
            *weights,
            initial, fresh, parameter, self.code.scalars,
            0 if p.projected else inputs_at,
            self.code.blocks, matrix,
            *((0, 0) if record is None else (record.data_ptr(), record.numel())),
            len(watch), watched,
        )), places  # fmt: skip


def forward(
    program: str,
    reverse: bool,
    save: bool,
    states: int,
    starts: int,
    lengths: Tensor | None,
    reset: Tensor | None,
    tensors: Sequence[Tensor | None],
) -> tuple[Tensor, ...]:
    """elman::recurrence itself: (output, *final states, *watched values, record)."""
    call = _Call(program, reverse, states, starts, lengths, reset, tensors)
    steps, batch, _ = call.x.shape
    output = _like_x(call.x, call.units)
    final = [call.x.new_empty(batch, call.units) for _ in range(states)]
    seen = [_like_x(call.x, call.units) for _ in range(call.code.program.watched)]
    if save:
        size = _record_size(call.code.program, steps, batch, call.units)
        record = _pool.take(size, call.x.dtype)
    else:
        record = call.x.new_empty(0)
    routine = call.code.forward if save else call.code.inference
    scan, (at_final,) = call.scan(output, record if save else None, seen, addresses(final))
    library().forward(scan, routine, at_final)
    return (output, *final, *seen, record)


@torch.library.impl("elman::recurrence", "CPU")
def _recurrence(*args: Any) -> list[Tensor]:
    return list(forward(*args))


@torch.library.register_fake("elman::recurrence")  # type: ignore[untyped-decorator]
def _recurrence_fake(
    program: str,
    reverse: bool,
    save: bool,
    states: int,
    starts: int,
    lengths: Tensor | None,
    reset: Tensor | None,
    tensors: list[Tensor | None],
) -> list[Tensor]:
    code = encoded(program)
    x, state = tensors[0], tensors[code.incoming]
    assert x is not None
    assert state is not None
    steps, batch = x.shape[:2]
    units = state.shape[1]
    size = _record_size(code.program, steps, batch, units) if save else 0
    return [
        _like_x(x, units),
        *(x.new_empty(batch, units) for _ in range(states)),
        *(_like_x(x, units) for _ in range(code.program.watched)),
        x.new_empty(size),
    ]


def backward(
    program: str,
    reverse: bool,
    states: int,
    starts: int,
    lengths: Tensor | None,
    reset: Tensor | None,
    needs: Sequence[bool],
    output: Tensor,
    record: Tensor,
    gradients: Sequence[Tensor | None],
    tensors: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """elman::recurrence_backward itself: a gradient for each tensor that needs one."""
    call = _Call(program, reverse, states, starts, lengths, reset, tensors)
    dy = None if gradients[0] is None else _rows_contiguous(gradients[0])
    dfinal = [None if t is None else t.contiguous() for t in gradients[1 : 1 + states]]
    dseen = [None if t is None else _rows_contiguous(t) for t in gradients[1 + states :]]
    p = call.code.program
    everything = (*call.incoming, *call.state, *call.start, *call.own)
    down = [
        None if t is None or not need else _gradient_of(t, i < len(call.incoming))
        for i, (t, need) in enumerate(zip(everything, needs, strict=True))
    ]
    of_incoming, rest = down[: len(call.incoming)], down[len(call.incoming) :]
    dfresh = rest[states : states + starts] or [None] * states
    matrices, others = call.cut(rest[states + starts :])
    dx, *weights = of_incoming if p.projected else [None] * 4
    output = _rows_contiguous(output)  # lives until the library is done
    scan, places = call.scan(
        output,
        record,
        dseen,
        addresses(dfinal),
        addresses(rest[:states]),
        addresses(dfresh),
        _slots_like(others, call.cut(call.own)[1], call.units),
        () if p.projected else _gates(of_incoming, p.inputs),
        addresses(matrices),
    )
    out = BackwardOut(
        p.kinds, len(p.groups), len(call.code.number), 0,
        call.code.input_kind, call.code.groups,
        *_sequence(dy),
        *_sequence(dx),
        places[0],
        *addresses(weights),
        *places[1:],
    )  # fmt: skip
    library().backward(scan, call.code.backward, out)
    return (*of_incoming, *rest)


@torch.library.impl("elman::recurrence_backward", "CPU")
def _recurrence_backward(*args: Any) -> list[Tensor]:
    x = args[-1][0]
    return [x.new_empty(0) if t is None else t for t in backward(*args)]


def _slots_like(
    gradients: Sequence[Tensor | None], own: Sequence[Tensor | None], units: int
) -> list[int]:
    """As _slots, with nothing where a gradient is not wanted."""
    slots: list[int] = []
    for gradient, t in zip(gradients, own, strict=True):
        wanted = (
            _slots([gradient], units) if gradient is not None else [0] * len(_slots([t], units))
        )
        slots.extend(wanted)
    return slots


@torch.library.register_fake("elman::recurrence_backward")  # type: ignore[untyped-decorator]
def _recurrence_backward_fake(
    program: str,
    reverse: bool,
    states: int,
    starts: int,
    lengths: Tensor | None,
    reset: Tensor | None,
    needs: list[bool],
    output: Tensor,
    record: Tensor,
    gradients: list[Tensor | None],
    tensors: list[Tensor | None],
) -> list[Tensor]:
    x, count = tensors[0], encoded(program).incoming
    assert x is not None
    return [
        x.new_empty(0)
        if t is None or not need
        else _gradient_of(t if i < count else t.contiguous(), i < count)
        for i, (t, need) in enumerate(zip(tensors, needs, strict=True))
    ]
