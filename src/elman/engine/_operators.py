"""The library as torch sees it: two raw operators, forward and backward, without gradients.

They take the program as text and the tensors in one list: x, weight_ih, weight_hh, bias_ih,
bias_hh, the states before the first step, those after a reset (or none), the cell's own tensors.
"""

# ruff: noqa: ARG001 - operators and rules take what their schema says
from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
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
    " bool[] needs, Tensor record, Tensor?[] gradients, Tensor?[] tensors) -> Tensor[]",
)


def _like_x(x: Tensor, size: int) -> Tensor:
    """A new (time, batch, size), laid out as x: time or batch outermost."""
    steps, batch = x.shape[:2]
    if x.stride(0) >= x.stride(1):
        return x.new_empty(steps, batch, size)
    return x.new_empty(batch, steps, size).transpose(0, 1)


def _sequence(t: Tensor | None) -> tuple[int, int, int]:
    """Where a (time, batch, size) begins, and its strides over the batch and over time."""
    return (0, 0, 0) if t is None else (t.data_ptr(), t.stride(1), t.stride(0))


def _address(t: Tensor | None) -> int:
    return 0 if t is None else t.data_ptr()


def _addresses(tensors: Iterable[Tensor | None]) -> array[int]:
    """An array of addresses: it must live as long as the call that reads it."""
    return array("q", map(_address, tensors))


def _at(addresses: array[int]) -> int:
    return addresses.buffer_info()[0]


def _rows_contiguous(t: Tensor) -> Tensor:
    return t if t.stride(-1) == 1 else t.contiguous()


def _slots(own: Sequence[Tensor | None], units: int) -> list[int]:
    """The addresses of the cell's own tensors, cut into one number per unit each."""
    pieces = [(t, i) for t in own for i in range(1 if t is None else max(1, t.numel() // units))]
    return [0 if t is None else t.data_ptr() + i * units * t.element_size() for t, i in pieces]


def _record_size(p: Program, steps: int, batch: int, units: int) -> int:
    """How many numbers the forward keeps for the backward (the record of native/src/scan.h)."""
    padded = (units + 15) // 16 * 16
    paddings = 16 * steps * (torch.get_num_threads() + 1)
    return (p.states + p.saved) * padded * batch * steps + paddings


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
        x, *rest = tensors
        assert x is not None
        self.x = _rows_contiguous(x)
        self.rest = [None if t is None else t.contiguous() for t in rest]
        self.weights = self.rest[:4]
        self.state = self.rest[4 : 4 + states]
        self.start = self.rest[4 + states : 4 + states + starts]
        self.own = self.rest[4 + states + starts :]
        self.lengths = None if lengths is None else lengths.to(torch.int64).contiguous()
        self.reset = reset
        self.reverse = reverse
        hh = self.weights[1]
        assert hh is not None
        self.units = hh.shape[1]

    def scan(
        self, output: Tensor | None, record: Tensor | None, watch: Sequence[Tensor | None] = ()
    ) -> Scan:
        """The structure; its arrays of addresses live as long as this call."""
        p, reset = self.code.program, self.reset
        steps, batch, inputs = self.x.shape
        self._pointers = (
            _addresses(self.state),
            _addresses(self.start or [None] * p.states),
            array("q", _slots(self.own, self.units)),
        )
        self._watch = array("q", chain.from_iterable(map(_sequence, watch)))
        return Scan._make((
            self.x.dtype == torch.float64, torch.get_num_threads(), 0, self.reverse,
            p.gates, p.states, p.saved, len(p.scalars),
            batch, steps, inputs, self.units,
            _address(self.lengths),
            *((0, 0, 0) if reset is None else (reset.data_ptr(), reset.stride(1), reset.stride(0))),
            *_sequence(self.x),
            *_sequence(output),
            *map(_address, self.weights),
            *map(_at, self._pointers),
            self.code.scalars, self.code.fused,
            _address(record),
            len(watch), _at(self._watch) if watch else 0,
        ))  # fmt: skip


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
    pointers = _addresses(final)
    scan = call.scan(output, record if save else None, seen)
    library().forward(scan, routine, _at(pointers))
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
    x, hh, p = tensors[0], tensors[2], encoded(program).program
    assert x is not None
    assert hh is not None
    steps, batch = x.shape[:2]
    units = hh.shape[1]
    size = _record_size(p, steps, batch, units) if save else 0
    return [
        _like_x(x, units),
        *(x.new_empty(batch, units) for _ in range(states)),
        *(_like_x(x, units) for _ in range(p.watched)),
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
    record: Tensor,
    gradients: Sequence[Tensor | None],
    tensors: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """elman::recurrence_backward itself: a gradient for each tensor that needs one."""
    call = _Call(program, reverse, states, starts, lengths, reset, tensors)
    dy = None if gradients[0] is None else _rows_contiguous(gradients[0])
    dfinal = [None if t is None else t.contiguous() for t in gradients[1 : 1 + states]]
    dseen = [None if t is None else _rows_contiguous(t) for t in gradients[1 + states :]]
    dx = _like_x(call.x, call.x.shape[2]) if needs[0] else None
    rest = [
        None if t is None or not need else torch.empty_like(t)
        for t, need in zip(call.rest, needs[1:], strict=True)
    ]
    p = call.code.program
    dfresh = rest[4 + states : 4 + states + starts] or [None] * states
    down = rest[4 + states + starts :]
    pointers = (
        _addresses(dfinal),
        _addresses(rest[4 : 4 + states]),
        _addresses(dfresh),
        array("q", _slots_like(down, call.own, call.units)),
    )
    out = BackwardOut(
        p.kinds, p.input_kinds, p.recurrent_first, 0,
        call.code.input_gate, call.code.recurrent_gate,
        *_sequence(dy),
        *_sequence(dx),
        _at(pointers[0]),
        *map(_address, rest[:4]),
        *map(_at, pointers[1:]),
    )  # fmt: skip
    library().backward(call.scan(None, record, dseen), call.code.backward, out)
    return (dx, *rest)


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
    record: Tensor,
    gradients: list[Tensor | None],
    tensors: list[Tensor | None],
) -> list[Tensor]:
    x, *rest = tensors
    assert x is not None
    dx = _like_x(x, x.shape[2]) if needs[0] else x.new_empty(0)
    return [
        dx,
        *(
            x.new_empty(0) if t is None or not n else t.new_empty(t.shape)
            for t, n in zip(rest, needs[1:], strict=True)
        ),
    ]
