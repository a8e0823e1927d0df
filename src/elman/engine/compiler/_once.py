"""Whether the gradient of a step is that of what it computes, which second derivatives rely on.

It is not where the step cuts a gradient (``detach()``, ``torch.no_grad``) or has one of its own (a
``torch.autograd.Function``, a hook). The program's gradient is traced and right all the same; its
second derivatives would be of the program without the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten


def has_only_first_derivatives(
    module: fx.GraphModule,
    some: Sequence[Tensor],
    fixed: Sequence[Tensor],
    cotangents: Sequence[Tensor],
) -> bool:
    """Whether the traced gradient differs from that of the operations in the trace.

    Args:
        module: the trace: (some, fixed, cotangents) to results and gradients of ``some``.
        some: examples of what has gradients; their numbers are drawn anew.
        fixed: what has none.
        cotangents: one for each result.
    """
    # At random numbers: those of a trace are all 0.5, where a difference could vanish.
    dice = torch.Generator().manual_seed(0)
    inputs = [torch.rand(t.shape, generator=dice, dtype=t.dtype) - 0.5 for t in some]
    with torch.enable_grad():
        inputs = [t.requires_grad_() for t in inputs]
        new, gradients = _Uncut(module).run(inputs, list(fixed), list(cotangents))
        pairs = [(t, c) for t, c in zip(new, cotangents, strict=True) if t.requires_grad]
        if not pairs:
            return any(bool(g.any()) for g in gradients)
        outputs, of_each = zip(*pairs, strict=True)
        expected = torch.autograd.grad(outputs, inputs, of_each, materialize_grads=True)
    return not all(map(_close, gradients, expected))


class _Uncut(fx.Interpreter):
    """Runs a trace as a program does: without its detach()."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return (
            args[0]
            if target is aten.detach.default
            else super().call_function(target, args, kwargs)
        )


def _close(traced: Tensor, expected: Tensor) -> bool:
    # Relative to the largest number of the gradient: both compute in the program's dtype.
    scale = float(expected.detach().nan_to_num(0, 0, 0).abs().max()) if expected.numel() else 0.0
    tolerance = 1e-3 if traced.dtype == torch.float32 else 1e-8
    return torch.allclose(
        traced, expected, rtol=tolerance, atol=tolerance * max(scale, 1e-3), equal_nan=True
    )
