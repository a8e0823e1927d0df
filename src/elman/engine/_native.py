"""The native engine: a traced program, run by the library over whole sequences.

Torch sees two raw operators, forward and backward, without gradients of their own. Each stands in an
autograd.Function: the forward's gradient is the backward operator, and everything beyond that, second
derivatives and forward mode, is that of the program carried out by torch (:mod:`._evaluate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_void_p
from typing import Any

import torch
from torch import Tensor

from elman.cells import PointwiseCell
from elman.engine import _pool
from elman.engine._evaluate import Arguments, evaluate
from elman.engine._library import BackwardOut, Encoded, ForwardOut, Scan, Sequences, array, encoded, library, missing
from elman.engine._lower import Untraceable
from elman.engine._recurrence import Recurrence
from elman.engine._trace import own_tensors, program_text

NAME = "native"


def why_not(r: Recurrence) -> str | None:
    """Why this engine cannot run; None if it can."""
    cell, weights = r.cell, r.weights
    if not isinstance(cell, PointwiseCell):
        return f"{type(cell).__name__} is not a PointwiseCell"
    if type(cell).project is not PointwiseCell.project or type(cell).step is not PointwiseCell.step:
        return f"{type(cell).__name__} has a project() or step() of its own"
    weights = cell.weights if weights is None else weights
    if weights.hr is not None or weights.hh.shape[1] != cell.hidden_size:
        return "its state is projected to another size"
    if r.x.device.type != "cpu" or weights.hh.device.type != "cpu":
        return f"it runs on the CPU, and this layer is on {r.x.device}"
    if r.x.dtype not in (torch.float32, torch.float64):
        return f"it computes in float32 and float64, and x is {r.x.dtype}"
    given = [*weights[:4], *r.state, *(r.start or ()), *(t for _, t in own_tensors(cell))]
    if any(t is not None and t.dtype != r.x.dtype for t in given):
        return f"x is {r.x.dtype}, and not every weight and state is"
    if r.observe is not None:
        return "observe= looks into every step"
    return missing() or (_text(cell, r.x.dtype)[1] or None)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _text(cell: PointwiseCell, dtype: torch.dtype) -> tuple[str, str]:
    """The cell's program, or why it has none."""
    try:
        return program_text(cell, dtype), ""
    except Untraceable as error:
        return "", f"{type(cell).__name__} cannot be traced: {error}"


# torch.compile takes the result as it is, and does not look inside. (The decorator that says this,
# torch.compiler.assume_constant_result, imports all of the compiler.)
_text._dynamo_marked_constant = True  # type: ignore[attr-defined]


def run(r: Recurrence) -> tuple[Tensor, Any]:
    """Outputs (time, batch, size) and the final state."""
    cell = r.cell
    assert isinstance(cell, PointwiseCell)
    weights = cell.weights if r.weights is None else r.weights
    text, _ = _text(cell, r.x.dtype)
    start = () if r.start is None or r.reset is None else tuple(r.start)
    own = tuple(t for _, t in own_tensors(cell))
    tensors = (r.x, *weights[:4], *r.state, *start, *own)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    output, *final = _Forward.apply(text, r.reverse, save, len(r.state), len(start), r.lengths, r.reset, *tensors)[:-1]
    return output, cell.State(*final)


# ---- the raw operators ----

torch.library.define(
    "elman::recurrence",
    "(str program, bool reverse, bool save, int states, int starts, Tensor? lengths, Tensor? reset, Tensor?[] tensors)"
    " -> Tensor[]",
)
torch.library.define(
    "elman::recurrence_backward",
    "(str program, bool reverse, int states, int starts, Tensor? lengths, Tensor? reset, bool[] needs, Tensor record,"
    " Tensor?[] gradients, Tensor?[] tensors) -> Tensor[]",
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

    def __init__(self, program: str, reverse: bool, states: int, starts: int, lengths: Tensor | None, reset: Tensor | None, tensors: Sequence[Tensor | None]) -> None:  # noqa: E501
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
            float64=x.dtype == torch.float64, threads=torch.get_num_threads(), split=0, reverse=reverse,
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
        for name, t in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), self.weights, strict=True):
            setattr(self.scan, name, None if t is None else t.data_ptr())


@torch.library.impl("elman::recurrence", "CPU")
def _recurrence(program: str, reverse: bool, save: bool, states: int, starts: int, lengths: Tensor | None, reset: Tensor | None, tensors: list[Tensor | None]) -> list[Tensor]:  # noqa: E501
    call = _Call(program, reverse, states, starts, lengths, reset, tensors)
    output = _like_x(call.x, call.units)
    final = [torch.empty(call.x.shape[1], call.units, dtype=call.x.dtype) for _ in range(states)]
    record = _pool.take(library().record_size(call.scan) if save else 0, call.x.dtype)
    call.scan.y = _sequence(output)
    call.scan.record = record.data_ptr() if save else None
    call.scan.program = call.code.forward if save else call.code.inference
    library().forward(call.scan, ForwardOut(_addresses(final)))
    return [output, *final, record]


@torch.library.register_fake("elman::recurrence")
def _recurrence_fake(program: str, reverse: bool, save: bool, states: int, starts: int, lengths: Tensor | None, reset: Tensor | None, tensors: list[Tensor | None]) -> list[Tensor]:  # noqa: E501
    x, hh, p = tensors[0], tensors[2], encoded(program).program
    assert x is not None and hh is not None
    steps, batch = x.shape[:2]
    units = hh.shape[1]
    padded = (units + 15) // 16 * 16
    size = (p.states + p.saved) * padded * batch * steps + 16 * steps * (torch.get_num_threads() + 1) if save else 0
    return [_like_x(x, units), *(x.new_empty(batch, units) for _ in range(states)), x.new_empty(size)]


@torch.library.impl("elman::recurrence_backward", "CPU")
def _recurrence_backward(program: str, reverse: bool, states: int, starts: int, lengths: Tensor | None, reset: Tensor | None, needs: list[bool], record: Tensor, gradients: list[Tensor | None], tensors: list[Tensor | None]) -> list[Tensor]:  # noqa: E501
    call = _Call(program, reverse, states, starts, lengths, reset, tensors)
    dy = None if gradients[0] is None else _rows_contiguous(gradients[0])
    dfinal = [None if t is None else t.contiguous() for t in gradients[1:]]
    dx = _like_x(call.x, call.x.shape[2]) if needs[0] else None
    rest = [None if t is None or not need else torch.empty_like(t) for t, need in zip(call.rest, needs[1:], strict=True)]
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


def _slots_like(gradients: Sequence[Tensor | None], own: Sequence[Tensor | None], units: int) -> list[int | None]:
    """As _slots, with nothing where a gradient is not wanted."""
    slots: list[int | None] = []
    for gradient, t in zip(gradients, own, strict=True):
        wanted = _slots([gradient], units) if gradient is not None else [None] * len(_slots([t], units))
        slots.extend(wanted)
    return slots


@torch.library.register_fake("elman::recurrence_backward")
def _recurrence_backward_fake(program: str, reverse: bool, states: int, starts: int, lengths: Tensor | None, reset: Tensor | None, needs: list[bool], record: Tensor, gradients: list[Tensor | None], tensors: list[Tensor | None]) -> list[Tensor]:  # noqa: E501
    x, *rest = tensors
    assert x is not None
    dx = _like_x(x, x.shape[2]) if needs[0] else x.new_empty(0)
    return [dx, *(x.new_empty(0) if t is None or not n else t.new_empty(t.shape) for t, n in zip(rest, needs[1:], strict=True))]


# ---- with gradients ----


def _by_torch(program: str, reverse: bool, states: int, starts: int, lengths: Tensor | None, reset: Tensor | None, given: Sequence[bool], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:  # noqa: E501
    """The same scan by torch; ``tensors`` are those that are ``given``."""
    present = iter(tensors)
    x, ih, hh, b_ih, b_hh, *rest = (next(present) if is_given else None for is_given in given)
    a = Arguments(x, ih, hh, b_ih, b_hh, tuple(rest[:states]), tuple(rest[states : states + starts]), tuple(rest[states + starts :]))  # type: ignore[arg-type]  # noqa: E501
    active = None
    if lengths is not None:
        active = torch.arange(a.x.shape[0])[:, None] < lengths
    return evaluate(encoded(program).program, a, active, reset, reverse)


def _loop(function: Any, info: Any, in_dims: Sequence[Any], args: Sequence[Any]) -> Any:
    """vmap by one native call for each entry."""
    results = []
    for i in range(info.batch_size):
        one = [a if d is None else a.select(d, i) for a, d in zip(args, in_dims, strict=True)]
        results.append(function.apply(*one))
    stacked = tuple(None if each[0] is None else torch.stack(each) for each in zip(*results, strict=True))
    return stacked, tuple(None if t is None else 0 for t in stacked)


_FIXED = 7  # arguments of _Forward before the tensors


class _Forward(torch.autograd.Function):
    """The scan: (output, *final states, record)."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, ...]:
        return tuple(torch.ops.elman.recurrence(*args[:_FIXED], args[_FIXED:]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        program, reverse, _, states, starts, lengths, reset, *tensors = inputs
        ctx.fixed = (program, reverse, states, starts)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[-1])
        ctx.save_for_backward(lengths, reset, output[-1], *tensors)
        ctx.save_for_forward(lengths, reset, *tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        lengths, reset, record, *tensors = ctx.saved_tensors
        needs = "".join(str(int(n)) for n in ctx.needs_input_grad[_FIXED:])
        if all(g is None for g in gradients[:-1]):
            return (None,) * (_FIXED + len(tensors))
        result = _Backward.apply(*ctx.fixed, lengths, reset, needs, record, len(gradients) - 1, *gradients[:-1], *tensors)
        return (None,) * _FIXED + tuple(g if need == "1" else None for g, need in zip(result, needs, strict=True))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _loop(_Forward, info, in_dims, args)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        lengths, reset, *tensors = ctx.saved_tensors
        given = [t is not None for t in tensors]
        primal = tuple(t for t in tensors if t is not None)
        tangent = tuple(
            torch.zeros_like(t) if d is None else d for t, d in zip(tensors, tangents[_FIXED:], strict=True) if t is not None
        )
        _, out = torch.func.jvp(lambda *p: _by_torch(*ctx.fixed, lengths, reset, given, p), primal, tangent)
        return (*out, None)


class _Backward(torch.autograd.Function):
    """The scan's gradient: one for each tensor, empty where it is not needed."""

    @staticmethod
    def forward(program: str, reverse: bool, states: int, starts: int, lengths: Any, reset: Any, needs: str, record: Tensor, outputs: int, *rest: Any) -> tuple[Tensor, ...]:  # noqa: E501
        result = torch.ops.elman.recurrence_backward(
            program, reverse, states, starts, lengths, reset, [n == "1" for n in needs], record, rest[:outputs], rest[outputs:]
        )
        return tuple(result)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        program, reverse, states, starts, lengths, reset, needs, _, outputs, *rest = inputs
        ctx.fixed, ctx.needs, ctx.outputs = (program, reverse, states, starts), needs, outputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(lengths, reset, *rest)
        ctx.save_for_forward(lengths, reset, *rest)

    @staticmethod
    def _differentiable(ctx: Any) -> tuple[Any, list[int], tuple[Tensor, ...]]:
        """The gradient by torch, as a function of the gradients and tensors that there are."""
        lengths, reset, *rest = ctx.saved_tensors
        there = [i for i, t in enumerate(rest) if t is not None]
        given = [t is not None for t in rest[ctx.outputs :]]

        def gradient(*values: Tensor) -> tuple[Tensor, ...]:
            by_place = dict(zip(there, values, strict=True))
            tensors = tuple(by_place[i] for i in there if i >= ctx.outputs)
            out, vjp = torch.func.vjp(lambda *p: _by_torch(*ctx.fixed, lengths, reset, given, p), *tensors)
            cotangents = tuple(by_place.get(i, torch.zeros_like(o)) for i, o in enumerate(out))
            found = iter(vjp(cotangents))
            whole = [next(found) if is_given else None for is_given in given]
            return tuple(tensors[0].new_empty(0) if g is None or need == "0" else g for g, need in zip(whole, ctx.needs, strict=True))

        return gradient, there, tuple(rest[i] for i in there)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        function, there, values = _Backward._differentiable(ctx)
        out, vjp = torch.func.vjp(function, *values)
        found = vjp(tuple(torch.zeros_like(o) if g is None else g for o, g in zip(out, gradients, strict=True)))
        by_place = dict(zip(there, found, strict=True))
        count = ctx.outputs + len(ctx.needs)
        return (None,) * 9 + tuple(by_place.get(i) for i in range(count))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _loop(_Backward, info, in_dims, args)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        function, there, values = _Backward._differentiable(ctx)
        given = tangents[9:]
        tangent = tuple(torch.zeros_like(v) if given[i] is None else given[i] for i, v in zip(there, values, strict=True))
        return torch.func.jvp(function, values, tangent)[1]
