"""The library as torch sees it: two raw operators, forward and backward, without gradients.

They take the program as text and the tensors in one list: x, weight_ih, weight_hh, bias_ih,
bias_hh, the states before the first step, those after a reset (or none), the cell's own tensors.
"""

# ruff: noqa: ARG001 - operators and rules take what their schema says
from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_void_p
from typing import Any

import torch
from torch import Tensor

from elman.engine import _pool
from elman.engine._library import (
    BackwardOut,
    Encoded,
    ForwardOut,
    Scan,
    Sequences,
    array,
    encoded,
    library,
)

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


def _sequence(t: Tensor | None) -> Sequences:
    return Sequences(None, 0, 0) if t is None else Sequences(t.data_ptr(), t.stride(1), t.stride(0))


def _addresses(tensors: Sequence[Tensor | None]) -> Any:
    return array(c_void_p, [None if t is None else t.data_ptr() for t in tensors])


def _rows_contiguous(t: Tensor) -> Tensor:
    return t if t.stride(-1) == 1 else t.contiguous()


def _slots(own: Sequence[Tensor | None], units: int) -> list[int | None]:
    """The addresses of the cell's own tensors, cut into one number per unit each."""
    pieces = [(t, i) for t in own for i in range(1 if t is None else max(1, t.numel() // units))]
    return [None if t is None else t.data_ptr() + i * units * t.element_size() for t, i in pieces]


class _Call:
    """One call's structure, and what must stay alive while it runs."""

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
        steps, batch, inputs = x.shape
        hh = self.weights[1]
        assert hh is not None
        self.units = hh.shape[1]
        p = self.code.program
        self.scan = Scan(
            float64=x.dtype == torch.float64, threads=torch.get_num_threads(), split=0,
            reverse=reverse,
            gates=p.gates, states=p.states, saved=p.saved, slots=len(p.scalars),
            batch=batch, steps=steps, inputs=inputs, units=self.units,
            lengths=None if self.lengths is None else self.lengths.data_ptr(),
            reset=None if reset is None else reset.data_ptr(),
            reset_row=0 if reset is None else reset.stride(1),
            reset_step=0 if reset is None else reset.stride(0),
            x=_sequence(self.x),
            initial=_addresses(self.state),
            fresh=_addresses(self.start or [None] * states),
            parameter=array(c_void_p, _slots(self.own, self.units)),
            parameter_is_scalar=self.code.scalars,
            fused=self.code.fused,
        )  # fmt: skip
        for name, t in zip(
            ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), self.weights, strict=True
        ):
            setattr(self.scan, name, None if t is None else t.data_ptr())


@torch.library.impl("elman::recurrence", "CPU")
def _recurrence(
    program: str,
    reverse: bool,
    save: bool,
    states: int,
    starts: int,
    lengths: Tensor | None,
    reset: Tensor | None,
    tensors: list[Tensor | None],
) -> list[Tensor]:
    call = _Call(program, reverse, states, starts, lengths, reset, tensors)
    output = _like_x(call.x, call.units)
    final = [torch.empty(call.x.shape[1], call.units, dtype=call.x.dtype) for _ in range(states)]
    record = _pool.take(library().record_size(call.scan) if save else 0, call.x.dtype)
    call.scan.y = _sequence(output)
    call.scan.record = record.data_ptr() if save else None
    call.scan.program = call.code.forward if save else call.code.inference
    library().forward(call.scan, ForwardOut(_addresses(final)))
    return [output, *final, record]


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
    padded = (units + 15) // 16 * 16
    size = (
        (p.states + p.saved) * padded * batch * steps + 16 * steps * (torch.get_num_threads() + 1)
        if save
        else 0
    )
    return [
        _like_x(x, units),
        *(x.new_empty(batch, units) for _ in range(states)),
        x.new_empty(size),
    ]


@torch.library.impl("elman::recurrence_backward", "CPU")
def _recurrence_backward(
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
    call = _Call(program, reverse, states, starts, lengths, reset, tensors)
    dy = None if gradients[0] is None else _rows_contiguous(gradients[0])
    dfinal = [None if t is None else t.contiguous() for t in gradients[1:]]
    dx = _like_x(call.x, call.x.shape[2]) if needs[0] else None
    rest = [
        None if t is None or not need else torch.empty_like(t)
        for t, need in zip(call.rest, needs[1:], strict=True)
    ]
    p = call.code.program
    call.scan.record = record.data_ptr()
    call.scan.program = call.code.backward
    dfresh = rest[4 + states : 4 + states + starts] or [None] * states
    down = rest[4 + states + starts :]
    out = BackwardOut(
        kinds=p.kinds, input_kinds=p.input_kinds, recurrent_first=p.recurrent_first,
        input_gate=call.code.input_gate, recurrent_gate=call.code.recurrent_gate,
        dy=_sequence(dy), dx=_sequence(dx), dfinal=_addresses(dfinal),
        dinitial=_addresses(rest[4 : 4 + states]), dfresh=_addresses(dfresh),
        dparameter=array(c_void_p, _slots_like(down, call.own, call.units)),
    )  # fmt: skip
    for name, t in zip(("dweight_ih", "dweight_hh", "dbias_ih", "dbias_hh"), rest, strict=False):
        setattr(out, name, None if t is None else t.data_ptr())
    library().backward(call.scan, out)
    return [call.x.new_empty(0) if t is None else t for t in (dx, *rest)]


def _slots_like(
    gradients: Sequence[Tensor | None], own: Sequence[Tensor | None], units: int
) -> list[int | None]:
    """As _slots, with nothing where a gradient is not wanted."""
    slots: list[int | None] = []
    for gradient, t in zip(gradients, own, strict=True):
        wanted = (
            _slots([gradient], units) if gradient is not None else [None] * len(_slots([t], units))
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
