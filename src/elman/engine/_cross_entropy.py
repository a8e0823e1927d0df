"""A linear map and the cross-entropy of its outputs, natively: operators, and their gradients.

Where a total is wanted, one call gives the losses and the gradients: a block of logits that is
turned into its gradient in place need not be computed again. Otherwise the gradient is a call of
its own, from the normalizers that the first one left. Second derivatives are those of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from elman._errors import EngineError
from elman.engine._select import effective_engine
from elman.engine.runtime._library import CrossEntropy, library, missing
from elman.engine.runtime._tensors import described

torch.library.define(
    "elman::cross_entropy",
    "(Tensor h, Tensor weight, Tensor? bias, Tensor target, int ignore, float smoothing,"
    " Tensor? scale, bool[] needs) -> Tensor[]",
)
torch.library.define(
    "elman::cross_entropy_backward",
    "(Tensor h, Tensor weight, Tensor? bias, Tensor target, int ignore, float smoothing,"
    " Tensor scale, bool[] needs, Tensor normalizer) -> Tensor[]",
)


def by_torch(
    h: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    ignore: int,
    smoothing: float,
    reduction: str,
) -> Tensor:
    """The same by torch."""
    scores = F.linear(h, weight, bias)
    return F.cross_entropy(
        scores, target, ignore_index=ignore, label_smoothing=smoothing, reduction=reduction
    )


def why_not(h: Tensor, weight: Tensor, bias: Tensor | None) -> str | None:
    """Why torch computes it; None if the native library does."""
    given = [t for t in (h, weight, bias) if t is not None]
    if any(t.device.type != "cpu" for t in given):
        return f"it runs on the CPU, and h is on {h.device}, the weight on {weight.device}"
    if h.dtype not in (torch.float32, torch.float64) or any(t.dtype != h.dtype for t in given):
        return f"h is {h.dtype} and the weight {weight.dtype}: both must be float32, or float64"
    if 0 in (*h.shape, *weight.shape):
        return "there is nothing to compute"
    return _around() or _missing()


def _missing() -> str | None:
    return missing()


# As _native._text: torch.compile takes the result and does not look for the library itself.
_missing._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _around() -> str | None:
    """What torch does around the call that is left to torch."""
    if torch.compiler.is_exporting():
        return "an exported program must run where this library is not"
    if torch.compiler.is_compiling():
        return None
    if torch._C._is_tracing():
        return (
            "torch.jit.trace, with which torch.onnx.export(dynamo=False) begins, records the "
            "operations of torch alone"
        )
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "the transforms of torch.func go through torch"
    if forward_ad._current_level >= 0:
        return "torch.autograd.forward_ad goes through torch"
    return None


def chosen(h: Tensor, weight: Tensor, bias: Tensor | None) -> str:
    """The engine: "native", or "reference" with the reason. One asked for by name may raise it."""
    engine = effective_engine("auto")
    reason = why_not(h, weight, bias)
    if engine == "native" and reason:
        raise EngineError(f"engine 'native' cannot run the cross-entropy: {reason}")
    if engine not in ("auto", "native"):
        return f"reference: {engine!r} was asked for"
    return f"reference: {reason}" if reason else "native"


def cross_entropy(
    h: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    ignore: int,
    smoothing: float,
    reduction: str,
) -> Tensor:
    """The loss: h (N, H), target (N,)."""
    if chosen(h, weight, bias) != "native":
        return by_torch(h, weight, bias, target, ignore, smoothing, reduction)
    scale = None
    if reduction != "none":
        counted = (target != ignore).sum() if reduction == "mean" else 1
        scale = h.new_ones(()).div(counted).expand(len(h))
    if torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (h, weight, bias)
    ):
        inputs = (h, weight, bias, target, scale, ignore, smoothing)
        loss: Tensor
        if torch.compiler.is_compiling():
            loss, *_ = _Traced.apply(*inputs)  # type: ignore[no-untyped-call]
        else:
            loss = _Eager.apply(*inputs)  # type: ignore[no-untyped-call]
        return loss
    arguments = (h, weight, bias, target, ignore, smoothing)
    losses: Tensor = torch.ops.elman.cross_entropy(*arguments, None, [False] * 3)[0]
    return losses if scale is None else (losses * scale).sum()


class _Eager(torch.autograd.Function):
    """The scaled total of the losses, or each of them where there is no scale."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        scale: Tensor | None,
        ignore: int,
        smoothing: float,
    ) -> Tensor:
        ctx.fixed, ctx.needs = (ignore, smoothing), list(ctx.needs_input_grad[:3])
        needs = [False] * 3 if scale is None else ctx.needs
        losses, normalizer, *gradients = torch.ops.elman.cross_entropy(
            h, weight, bias, target, ignore, smoothing, scale, needs
        )
        ctx.save_for_backward(h, weight, bias, target, scale, normalizer)
        ctx.gradients = gradients if scale is not None else None
        loss: Tensor = losses if scale is None else (losses * scale).sum()
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        h, weight, bias, target, scale, normalizer = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable(ctx, gradient)
        arguments = (h, weight, bias, target, *ctx.fixed)
        if scale is None:
            gradients = torch.ops.elman.cross_entropy_backward(
                *arguments, gradient.contiguous(), ctx.needs, normalizer
            )
            return _wanted(gradients, ctx.needs)
        # The gradients of the forward are scaled where they are, so they serve once.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            _, _, *gradients = torch.ops.elman.cross_entropy(*arguments, scale, ctx.needs)
        torch._foreach_mul_(gradients, gradient)
        return _wanted(gradients, ctx.needs)


class _Traced(torch.autograd.Function):
    """The same for torch.compile, which wants its tensors returned, and nothing written over."""

    @staticmethod
    def forward(
        h: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        scale: Tensor | None,
        ignore: int,
        smoothing: float,
    ) -> tuple[Tensor, ...]:
        needs = [scale is not None and t is not None for t in (h, weight, bias)]
        losses, *rest = torch.ops.elman.cross_entropy(
            h, weight, bias, target, ignore, smoothing, scale, needs
        )
        return (losses if scale is None else (losses * scale).sum(), *rest)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, scale, ignore, smoothing = inputs
        _, normalizer, *gradients = output
        ctx.by_row, ctx.fixed = scale is None, (ignore, smoothing)
        ctx.mark_non_differentiable(normalizer, *gradients)
        ctx.save_for_backward(*((*tensors, normalizer) if ctx.by_row else gradients))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        needs = list(ctx.needs_input_grad[:3])
        if not ctx.by_row:
            return _wanted([g * gradient for g in ctx.saved_tensors], needs)
        *tensors, normalizer = ctx.saved_tensors
        gradients = torch.ops.elman.cross_entropy_backward(
            *tensors, *ctx.fixed, gradient.contiguous(), needs, normalizer
        )
        return _wanted(gradients, needs)


def _wanted(gradients: Sequence[Tensor], needs: Sequence[bool]) -> tuple[Tensor | None, ...]:
    three = (g if need else None for g, need in zip(gradients, needs, strict=True))
    return (*three, None, None, None, None)


def _differentiable(ctx: Any, gradient: Tensor) -> Any:
    """The gradient as a function that has gradients itself."""
    h, weight, bias, target, scale, _ = ctx.saved_tensors
    # Views, for h may depend on the weight: the derivative wanted here is the partial one.
    views = (h.view_as(h), weight.view_as(weight), None if bias is None else bias.view_as(bias))
    losses = by_torch(*views, target, *ctx.fixed, "none")  # type: ignore[call-arg]
    total = losses if scale is None else (losses * scale).sum()
    wanted = [v for v, need in zip(views, ctx.needs, strict=True) if need and v is not None]
    found = iter(torch.autograd.grad(total, wanted, gradient, create_graph=True))
    return (*(next(found) if need else None for need in ctx.needs), None, None, None, None)


def _call(
    h: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    ignore: int,
    smoothing: float,
    scale: Tensor | None,
    needs: Sequence[bool],
    losses: Tensor | None,
    normalizer: Tensor,
) -> list[Tensor]:
    """Runs the library; the gradients, empty where they are not needed."""
    inputs = [t if t is None else t.contiguous() for t in (h, weight, bias, target, scale)]
    gradients = _empty((h, weight, bias), needs)
    wanted = [g if need else None for g, need in zip(gradients, needs, strict=True)]
    call = CrossEntropy(torch.get_num_threads(), ignore, smoothing)
    reason = library().cross_entropy(call, described((*inputs, losses, normalizer, *wanted)))
    if reason is not None:
        raise IndexError(f"{reason}: expected 0 to {len(weight) - 1}, or ignore_index = {ignore}")
    return gradients


def _empty(tensors: Sequence[Tensor | None], needs: Sequence[bool]) -> list[Tensor]:
    like = next(t for t in tensors if t is not None)
    return [
        like.new_empty(0 if t is None or not need else t.shape)
        for t, need in zip(tensors, needs, strict=True)
    ]


@torch.library.impl("elman::cross_entropy", "CPU")
def _cross_entropy(*inputs: Any) -> list[Tensor]:
    h, weight, bias, target, ignore, smoothing, scale, needs = inputs
    losses, normalizer = h.new_empty(len(h)), h.new_empty(len(h))
    given = (h, weight, bias, target, ignore, smoothing, scale, needs)
    return [losses, normalizer, *_call(*given, losses, normalizer)]


@torch.library.register_fake("elman::cross_entropy")  # type: ignore[untyped-decorator]
def _cross_entropy_fake(*inputs: Any) -> list[Tensor]:
    h, rows = inputs[0], inputs[0].shape[0]
    return [h.new_empty(rows), h.new_empty(rows), *_empty(inputs[:3], inputs[-1])]


@torch.library.impl("elman::cross_entropy_backward", "CPU")
def _cross_entropy_backward(*inputs: Any) -> list[Tensor]:
    h, weight, bias, target, ignore, smoothing, scale, needs, normalizer = inputs
    return _call(h, weight, bias, target, ignore, smoothing, scale, needs, None, normalizer)


@torch.library.register_fake("elman::cross_entropy_backward")  # type: ignore[untyped-decorator]
def _cross_entropy_backward_fake(*inputs: Any) -> list[Tensor]:
    return _empty(inputs[:3], inputs[-2])
