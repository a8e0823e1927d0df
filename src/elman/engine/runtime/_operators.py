"""The library as torch sees it: two raw operators, forward and backward, without gradients.

They take the program as text and the tensors in one list: what comes in, the states before the
first step, those after a reset (or none), and the cell's own tensors in the order of the program.
What comes in is x, weight_ih, bias_ih and bias_hh, where the program is of a projected input (and
weight_hh is the first of the own tensors); otherwise it is what the cell's ``project`` gave.
"""

# ruff: noqa: ARG001 - operators and rules take what their schema says
from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.engine.compiler._program import Program
from elman.engine.runtime import _pool
from elman.engine.runtime._library import Encoded, Scan, encoded, library
from elman.engine.runtime._tensors import described

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

    @property
    def cell(self) -> tuple[Tensor | None, ...]:
        """All that the cell computes with."""
        return (*self.incoming, *self.state, *self.start, *self.own)

    @property
    def scan(self) -> Scan:
        threads = torch.get_num_threads()
        return Scan(self.code.address, threads, split, self.reverse, len(self.start))

    def tensors(self, *others: Tensor | None) -> array[int]:
        """The list of tensors in native/src/abi.h: these live as long as this call."""
        return described((*self.cell, self.lengths, self.reset, *others))


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
    kept = record if save else None
    library().forward(call.scan, call.tensors(output, kept, *seen, *final))
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
    count = len(call.incoming)
    down = [
        None if t is None or not need else _gradient_of(t, i < count)
        for i, (t, need) in enumerate(zip(call.cell, needs, strict=True))
    ]
    output = _rows_contiguous(output)  # lives until the library is done
    library().backward(call.scan, call.tensors(output, record, *dseen, dy, *dfinal, *down))
    return tuple(down)


@torch.library.impl("elman::recurrence_backward", "CPU")
def _recurrence_backward(*args: Any) -> list[Tensor]:
    x = args[-1][0]
    return [x.new_empty(0) if t is None else t for t in backward(*args)]


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
