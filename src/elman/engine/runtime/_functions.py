"""The raw operators with gradients: autograd, functorch's transforms, and torch.compile.

The forward's gradient is the backward operator. Everything beyond that, second derivatives and
forward mode, is that of the program carried out by torch (:mod:`._evaluate`).
"""

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
from elman.engine.runtime._operators import ScanSpec

_SPEC = len(ScanSpec._fields)  # autograd takes the fields of a spec one by one
_FORWARD = _SPEC + 1  # arguments of _Forward before the tensors
_BACKWARD = _SPEC + 4  # arguments of _Backward before the gradients and the tensors


def recurrence(spec: ScanSpec, save: bool, *tensors: Tensor | None) -> tuple[Tensor, ...]:
    """Output, final states and watched values; ``save`` if there will be a backward."""
    outputs: tuple[Tensor, ...]
    if torch.compiler.is_compiling():
        if not torch.is_grad_enabled():  # where torch.compile refuses any Function
            return tuple(torch.ops.elman.recurrence(*spec, save, tensors))[:-1]
        outputs = _Forward.apply(*spec, save, *tensors)  # type: ignore[no-untyped-call]
    elif not _is_plain(tensors):
        outputs = _ForwardWithTangents.apply(*spec, save, *tensors)  # type: ignore[no-untyped-call]
    elif save:
        outputs = _EagerScan.apply(*spec, save, *tensors)  # type: ignore[no-untyped-call]
    else:
        outputs = _operators.forward(spec, save, tensors)
    return outputs[:-1]


def _is_plain(tensors: Sequence[Tensor | None]) -> bool:
    """Whether these are plain tensors, and no transform or mode of torch intercepts the call."""
    return (
        torch._C._len_torch_dispatch_stack() == 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and _PLAIN.issuperset(map(type, tensors))
    )


_PLAIN = {type(None), Tensor, torch.nn.Parameter}


def _by_torch(ctx: Any, present: Sequence[bool], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The same scan by torch; ``tensors`` are those that are ``present``, of all that it takes."""
    program, reverse, states, starts = ctx.options
    lengths, reset = ctx.saved_tensors[:2]
    rest = iter(tensors)
    everything: list[Any] = [next(rest) if is_present else None for is_present in present]
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


def _vmap_by_loop(function: Any, info: Any, in_dims: Sequence[Any], args: Sequence[Any]) -> Any:
    """Maps over samples by one native call for each.

    A batch of samples could be rows of one call only where they share the weights.
    """
    samples = []
    for i in range(info.batch_size):
        one = [a if d is None else a.select(d, i) for a, d in zip(args, in_dims, strict=True)]
        samples.append(function.apply(*one))
    stacked = tuple(
        None if each[0] is None else torch.stack(each) for each in zip(*samples, strict=True)
    )
    return stacked, tuple(None if t is None else 0 for t in stacked)


class _Forward(torch.autograd.Function):
    """The scan: (output, *final states, *watched values, record)."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, ...]:
        return tuple(torch.ops.elman.recurrence(*args[:_FORWARD], args[_FORWARD:]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *options, lengths, reset = inputs[:_SPEC]
        tensors = inputs[_FORWARD:]
        ctx.options = tuple(options)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[-1])
        ctx.save_for_backward(lengths, reset, output[0], output[-1], *tensors)
        ctx.save_for_forward(lengths, reset, *tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        lengths, reset, output, record, *tensors = ctx.saved_tensors
        if all(g is None for g in gradients[:-1]):
            return (None,) * (_FORWARD + len(tensors))
        # As text, which functorch takes for one argument, where it would look into a list.
        needs = "".join(str(int(n)) for n in ctx.needs_input_grad[_FORWARD:])
        # A compiled graph has no second derivatives, and no Function within a Function.
        backward = _Backward.forward if torch.compiler.is_compiling() else _Backward.apply
        down = backward(
            *ctx.options, lengths, reset, needs, output, record,
            len(gradients) - 1, *gradients[:-1], *tensors,
        )  # fmt: skip
        return (None,) * _FORWARD + tuple(
            g if need == "1" else None for g, need in zip(down, needs, strict=True)
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _vmap_by_loop(_ForwardWithTangents, info, in_dims, args)


class _EagerScan(torch.autograd.Function):
    """As _Forward for plain tensors, past the dispatcher, which takes longer than a short scan."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        output = _operators.forward(ScanSpec(*args[:_SPEC]), args[_SPEC], args[_FORWARD:])
        _Forward.setup_context(ctx, args, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if torch.is_grad_enabled():  # someone will differentiate the gradient
            return _Forward.backward(ctx, *gradients)
        lengths, reset, output, record, *tensors = ctx.saved_tensors
        needs = ctx.needs_input_grad[_FORWARD:]
        if all(g is None for g in gradients[:-1]):
            return (None,) * (_FORWARD + len(tensors))
        spec = ScanSpec._make((*ctx.options, lengths, reset))
        down = _operators.backward(spec, needs, output, record, gradients[:-1], tensors)
        return (None,) * _FORWARD + down


class _ForwardWithTangents(_Forward):
    """In a class of its own, since torch.compile refuses any Function that defines jvp."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        _, _, *tensors = ctx.saved_tensors
        present = [t is not None for t in tensors]
        # Rows of an expanded initial state lie on each other, which a dual number cannot.
        primal = tuple(t.contiguous() for t in tensors if t is not None)
        tangent = tuple(
            torch.zeros_like(t) if d is None else d
            for t, d in zip(tensors, tangents[_FORWARD:], strict=True)
            if t is not None
        )
        _, out, *_ = torch.func.jvp(lambda *p: _by_torch(ctx, present, p), primal, tangent)
        return (*out, None)


class _Backward(torch.autograd.Function):
    """The scan's gradient: one for each tensor, empty where it is not needed."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, ...]:
        needs, output, record, outputs = args[_SPEC:_BACKWARD]
        gradients, tensors = args[_BACKWARD:][:outputs], args[_BACKWARD:][outputs:]
        down = torch.ops.elman.recurrence_backward(
            *args[:_SPEC], [n == "1" for n in needs], output, record, gradients, tensors
        )
        return tuple(down)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ARG004
        *options, lengths, reset = inputs[:_SPEC]
        ctx.options = tuple(options)
        ctx.needs, _, _, ctx.outputs = inputs[_SPEC:_BACKWARD]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(lengths, reset, *inputs[_BACKWARD:])
        ctx.save_for_forward(lengths, reset, *inputs[_BACKWARD:])

    @staticmethod
    def _differentiable(ctx: Any) -> tuple[Any, list[int], tuple[Tensor, ...]]:
        """The gradient by torch, as a function of the gradients and tensors that there are."""
        _, _, *rest = ctx.saved_tensors
        indices = [i for i, t in enumerate(rest) if t is not None]
        present = [t is not None for t in rest[ctx.outputs :]]

        def gradient(*values: Tensor) -> tuple[Tensor, ...]:
            by_index = dict(zip(indices, values, strict=True))
            tensors = tuple(by_index[i] for i in indices if i >= ctx.outputs)
            out, vjp, *_ = torch.func.vjp(lambda *p: _by_torch(ctx, present, p), *tensors)
            cotangents = tuple(by_index.get(i, torch.zeros_like(o)) for i, o in enumerate(out))
            down = iter(vjp(cotangents))
            whole = [next(down) if is_present else None for is_present in present]
            return tuple(
                tensors[0].new_empty(0) if g is None or need == "0" else g
                for g, need in zip(whole, ctx.needs, strict=True)
            )

        return gradient, indices, tuple(rest[i] for i in indices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        function, indices, values = _Backward._differentiable(ctx)
        out, vjp, *_ = torch.func.vjp(function, *values)
        down = vjp(
            tuple(
                torch.zeros_like(o) if g is None else g for o, g in zip(out, gradients, strict=True)
            )
        )
        by_index = dict(zip(indices, down, strict=True))
        count = ctx.outputs + len(ctx.needs)
        return (None,) * _BACKWARD + tuple(by_index.get(i) for i in range(count))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _vmap_by_loop(_Backward, info, in_dims, args)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        function, indices, values = _Backward._differentiable(ctx)
        directions = tangents[_BACKWARD:]
        tangent = tuple(
            torch.zeros_like(v) if directions[i] is None else directions[i]
            for i, v in zip(indices, values, strict=True)
        )
        return torch.func.jvp(function, tuple(v.contiguous() for v in values), tangent)[1]
