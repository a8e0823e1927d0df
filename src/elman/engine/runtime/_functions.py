"""The raw operators with gradients: autograd, functorch's transforms, and torch.compile.

The forward's gradient is the backward operator. Everything beyond that, second derivatives and
forward mode, is that of the program carried out by torch (:mod:`._evaluate`).
"""

# ruff: noqa: ARG004 - operators and rules take what their schema says
from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from elman._errors import EngineError
from elman.engine.runtime import _operators
from elman.engine.runtime._evaluate import ScanTensors, evaluate
from elman.engine.runtime._library import encoded


def _by_torch(ctx: Any, given: Sequence[bool], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The same scan by torch; ``tensors`` are those that are ``given``."""
    program, reverse, states, starts = ctx.fixed
    lengths, reset = ctx.saved_tensors[:2]
    present = iter(tensors)
    everything: list[Any] = [next(present) if is_given else None for is_given in given]
    code = encoded(program)
    if code.program.once:
        raise EngineError(
            "the step cuts a gradient (detach(), torch.no_grad) or has one of its own, so the "
            "native engine has its first derivatives alone: take second and forward-mode ones "
            'under elman.use_engine("reference")'
        )
    ends = list(accumulate((code.incoming, states, starts), initial=0))
    parts = [tuple(everything[i:j]) for i, j in pairwise([*ends, len(everything)])]
    active = None
    if lengths is not None:
        active = torch.arange(everything[0].shape[0])[:, None] < lengths
    return evaluate(code.program, ScanTensors(*parts), active, reset, reverse)


def _loop(function: Any, info: Any, in_dims: Sequence[Any], args: Sequence[Any]) -> Any:
    """Maps over samples by one native call for each entry."""
    results = []
    for i in range(info.batch_size):
        one = [a if d is None else a.select(d, i) for a, d in zip(args, in_dims, strict=True)]
        results.append(function.apply(*one))
    stacked = tuple(
        None if each[0] is None else torch.stack(each) for each in zip(*results, strict=True)
    )
    return stacked, tuple(None if t is None else 0 for t in stacked)


_FIXED = 7  # arguments of _Forward before the tensors


def recurrence(*args: Any) -> tuple[Tensor, ...]:
    """Output, final states and watched values; arguments as of the operator elman::recurrence."""
    result: tuple[Tensor, ...]
    if torch.compiler.is_compiling():
        if not torch.is_grad_enabled():  # where torch.compile refuses any Function
            return tuple(torch.ops.elman.recurrence(*args[:_FIXED], args[_FIXED:]))[:-1]
        result = _Forward.apply(*args)  # type: ignore[no-untyped-call]
    elif not _nobody_looks_on(args[_FIXED:]):
        result = _ForwardWithTangents.apply(*args)  # type: ignore[no-untyped-call]
    elif args[2]:
        result = _Eager.apply(*args)  # type: ignore[no-untyped-call]
    else:
        program, reverse, save, states, starts, lengths, reset, *tensors = args
        result = _operators.forward(program, reverse, save, states, starts, lengths, reset, tensors)
    return result[:-1]


def _nobody_looks_on(tensors: Sequence[Tensor | None]) -> bool:
    """Whether these are plain tensors and no transform or mode of torch wants to see the call."""
    return (
        torch._C._len_torch_dispatch_stack() == 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and _PLAIN.issuperset(map(type, tensors))
    )


_PLAIN = {type(None), Tensor, torch.nn.Parameter}


class _Forward(torch.autograd.Function):
    """The scan: (output, *final states, *watched values, record)."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, ...]:
        return tuple(torch.ops.elman.recurrence(*args[:_FIXED], args[_FIXED:]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        program, reverse, _, states, starts, lengths, reset, *tensors = inputs
        ctx.fixed = (program, reverse, states, starts)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[-1])
        ctx.save_for_backward(lengths, reset, output[0], output[-1], *tensors)
        ctx.save_for_forward(lengths, reset, *tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        lengths, reset, output, record, *tensors = ctx.saved_tensors
        needs = "".join(str(int(n)) for n in ctx.needs_input_grad[_FIXED:])
        if all(g is None for g in gradients[:-1]):
            return (None,) * (_FIXED + len(tensors))
        # A compiled graph has no second derivatives, and no Function within a Function.
        backward = _Backward.forward if torch.compiler.is_compiling() else _Backward.apply
        result = backward(
            *ctx.fixed, lengths, reset, needs, output, record,
            len(gradients) - 1, *gradients[:-1], *tensors,
        )  # fmt: skip
        return (None,) * _FIXED + tuple(
            g if need == "1" else None for g, need in zip(result, needs, strict=True)
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _loop(_ForwardWithTangents, info, in_dims, args)


class _Eager(torch.autograd.Function):
    """As _Forward where nobody looks on, whose ways take longer than a short scan."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        program, reverse, save, states, starts, lengths, reset, *tensors = args
        output = _operators.forward(program, reverse, save, states, starts, lengths, reset, tensors)
        _Forward.setup_context(ctx, args, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if torch.is_grad_enabled():  # someone will differentiate the gradient
            return _Forward.backward(ctx, *gradients)
        lengths, reset, output, record, *tensors = ctx.saved_tensors
        needs = ctx.needs_input_grad[_FIXED:]
        if all(g is None for g in gradients[:-1]):
            return (None,) * (_FIXED + len(tensors))
        program, reverse, states, starts = ctx.fixed
        found = _operators.backward(
            program, reverse, states, starts, lengths, reset, needs, output, record,
            gradients[:-1], tensors,
        )  # fmt: skip
        return (None,) * _FIXED + found


class _ForwardWithTangents(_Forward):
    """In a class of its own, since torch.compile refuses any Function that defines jvp."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        _, _, *tensors = ctx.saved_tensors
        given = [t is not None for t in tensors]
        # Rows of an expanded initial state lie on each other, which a dual number cannot.
        primal = tuple(t.contiguous() for t in tensors if t is not None)
        tangent = tuple(
            torch.zeros_like(t) if d is None else d
            for t, d in zip(tensors, tangents[_FIXED:], strict=True)
            if t is not None
        )
        _, out, *_ = torch.func.jvp(lambda *p: _by_torch(ctx, given, p), primal, tangent)
        return (*out, None)


_BEFORE = 10  # arguments of _Backward before the gradients and the tensors


class _Backward(torch.autograd.Function):
    """The scan's gradient: one for each tensor, empty where it is not needed."""

    @staticmethod
    def forward(
        program: str,
        reverse: bool,
        states: int,
        starts: int,
        lengths: Any,
        reset: Any,
        needs: str,
        output: Tensor,
        record: Tensor,
        outputs: int,
        *rest: Any,
    ) -> tuple[Tensor, ...]:
        result = torch.ops.elman.recurrence_backward(
            program,
            reverse,
            states,
            starts,
            lengths,
            reset,
            [n == "1" for n in needs],
            output,
            record,
            rest[:outputs],
            rest[outputs:],
        )
        return tuple(result)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        program, reverse, states, starts, lengths, reset, needs, _, _, outputs, *rest = inputs
        ctx.fixed, ctx.needs, ctx.outputs = (program, reverse, states, starts), needs, outputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(lengths, reset, *rest)
        ctx.save_for_forward(lengths, reset, *rest)

    @staticmethod
    def _differentiable(ctx: Any) -> tuple[Any, list[int], tuple[Tensor, ...]]:
        """The gradient by torch, as a function of the gradients and tensors that there are."""
        _, _, *rest = ctx.saved_tensors
        there = [i for i, t in enumerate(rest) if t is not None]
        given = [t is not None for t in rest[ctx.outputs :]]

        def gradient(*values: Tensor) -> tuple[Tensor, ...]:
            by_place = dict(zip(there, values, strict=True))
            tensors = tuple(by_place[i] for i in there if i >= ctx.outputs)
            out, vjp, *_ = torch.func.vjp(lambda *p: _by_torch(ctx, given, p), *tensors)
            cotangents = tuple(by_place.get(i, torch.zeros_like(o)) for i, o in enumerate(out))
            found = iter(vjp(cotangents))
            whole = [next(found) if is_given else None for is_given in given]
            return tuple(
                tensors[0].new_empty(0) if g is None or need == "0" else g
                for g, need in zip(whole, ctx.needs, strict=True)
            )

        return gradient, there, tuple(rest[i] for i in there)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        function, there, values = _Backward._differentiable(ctx)
        out, vjp, *_ = torch.func.vjp(function, *values)
        found = vjp(
            tuple(
                torch.zeros_like(o) if g is None else g for o, g in zip(out, gradients, strict=True)
            )
        )
        by_place = dict(zip(there, found, strict=True))
        count = ctx.outputs + len(ctx.needs)
        return (None,) * _BEFORE + tuple(by_place.get(i) for i in range(count))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _loop(_Backward, info, in_dims, args)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        function, there, values = _Backward._differentiable(ctx)
        given = tangents[_BEFORE:]
        tangent = tuple(
            torch.zeros_like(v) if given[i] is None else given[i]
            for i, v in zip(there, values, strict=True)
        )
        return torch.func.jvp(function, tuple(v.contiguous() for v in values), tangent)[1]
