"""A linear map and the cross-entropy of its outputs, natively: operators, and their gradients.

Where the total of the losses is differentiated, one call computes them and the gradients: a block
of logits that is turned into its gradient in place need not be computed again. Otherwise the
gradient is a call of its own, from the normalizers that the first one left. Second derivatives are
those of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from elman._errors import EngineError
from elman.engine._mode import recorder
from elman.engine._select import effective_engine
from elman.engine.runtime._library import CrossEntropy, library, missing
from elman.engine.runtime._tensors import described

__all__ = ["LossSpec", "chosen", "cross_entropy"]


class LossSpec(NamedTuple):
    """What both operators take, in the order of their schemas.

    Attributes:
        h: inputs of the linear map (N, H).
        weight: (V, H).
        bias: (V,), or None.
        target: int64 (N,).
        ignore: a target of this value counts as nothing.
        smoothing: the share of the target that is spread over all outputs.
    """

    h: Tensor
    weight: Tensor
    bias: Tensor | None
    target: Tensor
    ignore: int
    smoothing: float

    @property
    def maps(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """What has gradients: h, weight and bias."""
        return self.h, self.weight, self.bias

    def by_torch(self, reduction: str) -> Tensor:
        """The same loss by torch, which holds all logits."""
        scores = F.linear(self.h, self.weight, self.bias)
        return F.cross_entropy(
            scores,
            self.target,
            ignore_index=self.ignore,
            label_smoothing=self.smoothing,
            reduction=reduction,
        )


_SPEC = "Tensor h, Tensor weight, Tensor? bias, Tensor target, int ignore, float smoothing"
_LENGTH = len(LossSpec._fields)
torch.library.define("elman::cross_entropy", f"({_SPEC}, Tensor? scale, bool[] needs) -> Tensor[]")
torch.library.define(
    "elman::cross_entropy_backward",
    f"({_SPEC}, Tensor scale, bool[] needs, Tensor normalizer) -> Tensor[]",
)


def _objection(h: Tensor, weight: Tensor, bias: Tensor | None) -> str | None:
    """Why torch computes it; None if the native library does."""
    tensors = [t for t in (h, weight, bias) if t is not None]
    if any(t.device.type != "cpu" for t in tensors):
        return f"it runs on the CPU, and h is on {h.device}, the weight on {weight.device}"
    if h.dtype not in (torch.float32, torch.float64) or any(t.dtype != h.dtype for t in tensors):
        return f"h is {h.dtype} and the weight {weight.dtype}: both must be float32, or float64"
    if 0 in (*h.shape, *weight.shape):
        return "there is nothing to compute"
    return _wrong_mode() or _missing()


def _missing() -> str | None:
    return missing()


# torch.compile takes the answer as a constant, and does not look for the library itself.
_missing._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _wrong_mode() -> str | None:
    """Which mode or transform of torch is left to torch."""
    reason = recorder()
    if reason is not None or torch.compiler.is_compiling():
        return reason
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "the transforms of torch.func go through torch"
    if forward_ad._current_level >= 0:
        return "torch.autograd.forward_ad goes through torch"
    return None


def chosen(h: Tensor, weight: Tensor, bias: Tensor | None) -> str:
    """The engine: "native", or "reference" with the reason. One asked for by name may raise it."""
    engine = effective_engine("auto")
    reason = _objection(h, weight, bias)
    if engine == "native" and reason:
        raise EngineError(f"engine 'native' cannot run the cross-entropy: {reason}")
    if engine not in ("auto", "native"):
        return f"reference: {engine!r} was asked for"
    return f"reference: {reason}" if reason else "native"


def cross_entropy(spec: LossSpec, reduction: str) -> Tensor:
    """The loss: a total, a mean, or with "none" one for each target."""
    h, weight, bias = spec.maps
    if chosen(h, weight, bias) != "native":
        return spec.by_torch(reduction)
    scale = None
    if reduction != "none":
        counted = (spec.target != spec.ignore).sum() if reduction == "mean" else 1
        scale = h.new_ones(()).div(counted).expand(len(h))
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in spec.maps):
        loss: Tensor
        if torch.compiler.is_compiling():
            loss, *_ = _TracedLoss.apply(*spec, scale)  # type: ignore[no-untyped-call]
        else:
            loss = _EagerLoss.apply(*spec, scale)  # type: ignore[no-untyped-call]
        return loss
    losses: Tensor = torch.ops.elman.cross_entropy(*spec, None, [False] * 3)[0]
    return losses if scale is None else (losses * scale).sum()


class _EagerLoss(torch.autograd.Function):
    """The scaled total of the losses, or each of them where there is no scale."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        spec, scale = LossSpec(*args[:_LENGTH]), args[_LENGTH]
        ctx.options, ctx.needs = (spec.ignore, spec.smoothing), list(ctx.needs_input_grad[:3])
        # Without a scale the gradient of each loss is not known yet.
        needs = [False] * 3 if scale is None else ctx.needs
        losses, normalizer, *gradients = torch.ops.elman.cross_entropy(*spec, scale, needs)
        ctx.save_for_backward(*spec.maps, spec.target, scale, normalizer)
        ctx.gradients = gradients if scale is not None else None
        loss: Tensor = losses if scale is None else (losses * scale).sum()
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        *tensors, scale, normalizer = ctx.saved_tensors
        spec = LossSpec(*tensors, *ctx.options)
        if torch.is_grad_enabled():
            return _differentiable(spec, scale, ctx.needs, gradient)
        if scale is None:
            gradients = torch.ops.elman.cross_entropy_backward(
                *spec, gradient.contiguous(), ctx.needs, normalizer
            )
            return _for_inputs(gradients, ctx.needs)
        # The gradients of the forward are scaled where they are, so they serve once.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            _, _, *gradients = torch.ops.elman.cross_entropy(*spec, scale, ctx.needs)
        torch._foreach_mul_(gradients, gradient)
        return _for_inputs(gradients, ctx.needs)


class _TracedLoss(torch.autograd.Function):
    """The same for torch.compile, which needs its tensors returned, and nothing written over."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, ...]:
        *spec, scale = args
        needs = [scale is not None and t is not None for t in spec[:3]]
        losses, *rest = torch.ops.elman.cross_entropy(*spec, scale, needs)
        return (losses if scale is None else (losses * scale).sum(), *rest)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ignore, smoothing, scale = inputs
        _, normalizer, *gradients = output
        ctx.by_row, ctx.options = scale is None, (ignore, smoothing)
        ctx.mark_non_differentiable(normalizer, *gradients)
        ctx.save_for_backward(*((*tensors, normalizer) if ctx.by_row else gradients))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        needs = list(ctx.needs_input_grad[:3])
        if not ctx.by_row:
            return _for_inputs([g * gradient for g in ctx.saved_tensors], needs)
        *tensors, normalizer = ctx.saved_tensors
        gradients = torch.ops.elman.cross_entropy_backward(
            *tensors, *ctx.options, gradient.contiguous(), needs, normalizer
        )
        return _for_inputs(gradients, needs)


def _for_inputs(gradients: Sequence[Tensor], needs: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """One for each input of a Function: those of h, weight and bias, and none for the rest."""
    three = (g if need else None for g, need in zip(gradients, needs, strict=True))
    return (*three, None, None, None, None)


def _differentiable(
    spec: LossSpec, scale: Tensor | None, needs: Sequence[bool], gradient: Tensor
) -> Any:
    """The gradient as a function that has gradients itself."""
    # Views, for h may depend on the weight: what is differentiated here is the partial one.
    views = tuple(None if t is None else t.view_as(t) for t in spec.maps)
    losses = LossSpec._make((*views, *spec[3:])).by_torch("none")
    total = losses if scale is None else (losses * scale).sum()
    inputs = [v for v, need in zip(views, needs, strict=True) if need and v is not None]
    gradients = iter(torch.autograd.grad(total, inputs, gradient, create_graph=True))
    return (*(next(gradients) if need else None for need in needs), None, None, None, None)


def _run(
    spec: LossSpec,
    scale: Tensor | None,
    needs: Sequence[bool],
    losses: Tensor | None,
    normalizer: Tensor,
) -> list[Tensor]:
    """Runs the library; the gradients, empty where they are not needed."""
    inputs = [t if t is None else t.contiguous() for t in (*spec.maps, spec.target, scale)]
    gradients = _empty(spec.maps, needs)
    outputs = [g if need else None for g, need in zip(gradients, needs, strict=True)]
    call = CrossEntropy(torch.get_num_threads(), spec.ignore, spec.smoothing)
    library().cross_entropy(call, described((*inputs, losses, normalizer, *outputs)))
    return gradients


def _empty(tensors: Sequence[Tensor | None], needs: Sequence[bool]) -> list[Tensor]:
    like = next(t for t in tensors if t is not None)
    return [
        like.new_empty(0 if t is None or not need else t.shape)
        for t, need in zip(tensors, needs, strict=True)
    ]


@torch.library.impl("elman::cross_entropy", "CPU")
def _cross_entropy(*args: Any) -> list[Tensor]:
    spec, (scale, needs) = LossSpec(*args[:_LENGTH]), args[_LENGTH:]
    losses, normalizer = spec.h.new_empty(len(spec.h)), spec.h.new_empty(len(spec.h))
    return [losses, normalizer, *_run(spec, scale, needs, losses, normalizer)]


@torch.library.register_fake("elman::cross_entropy")  # type: ignore[untyped-decorator]
def _cross_entropy_fake(*args: Any) -> list[Tensor]:
    h, rows = args[0], args[0].shape[0]
    return [h.new_empty(rows), h.new_empty(rows), *_empty(args[:3], args[-1])]


@torch.library.impl("elman::cross_entropy_backward", "CPU")
def _cross_entropy_backward(*args: Any) -> list[Tensor]:
    scale, needs, normalizer = args[_LENGTH:]
    return _run(LossSpec(*args[:_LENGTH]), scale, needs, None, normalizer)


@torch.library.register_fake("elman::cross_entropy_backward")  # type: ignore[untyped-decorator]
def _cross_entropy_backward_fake(*args: Any) -> list[Tensor]:
    return _empty(args[:3], args[-2])


def __dir__() -> list[str]:
    return sorted(__all__)
