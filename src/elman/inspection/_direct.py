"""Where a loss enters a recurrence: its derivative by each step's state, not through later ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.inspection._recording import Track


def gradients(
    of: Sequence[Tensor], by: Sequence[Tensor], grad_outputs: Sequence[Tensor] | None = None
) -> list[Tensor]:
    """Vector-Jacobian products, zeros where there is no path; the graph stays for more of them."""
    grads = torch.autograd.grad(
        of, by, grad_outputs, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return list(grads)


def nodes(track: Track) -> list[Tensor]:
    """Every state of every step, the states of a step together."""
    return [state for step in track.after for state in step]


def by_step(track: Track, flat: Sequence[Tensor]) -> list[Any]:
    """What :func:`nodes` listed, as states again."""
    count = len(track.cell.states)
    return [track.cell.State(*flat[i : i + count]) for i in range(0, len(flat), count)]


def last_steps(track: Track, until: int | None = None) -> Tensor:
    """Each row's last real step in the order of the scan, (row,); -1 if it has none."""
    active = track.active[:until]
    if track.reverse:
        steps = active.int().argmax(0)
    else:
        steps = len(active) - 1 - active.flip(0).int().argmax(0)
    return torch.where(active.any(0), steps, -1)


def direct(loss: Tensor, track: Track) -> list[Any]:
    r"""The derivative of the loss by each step's state along no later step of this track.

    .. math:: \frac{\partial L}{\partial s_t} \text{ of } \frac{d L}{d s_k}
        = \sum_{t \ge k} \frac{\partial L}{\partial s_t} \prod_{j=k+1}^{t} J_j

    Returns: a state for each step, in the order of time; 0 at padding.
    """
    outputs = [call.output for call in track.calls]
    finals = [state for _, final in track.finals for state in final]
    grads = gradients([loss], [*outputs, *finals])
    of_output = torch.cat(grads[: len(outputs)]) * track.active[..., None]
    states = [
        torch.zeros(len(track), *state.shape, dtype=state.dtype, device=state.device)
        for state in track.after[0]
    ]
    states[0] += of_output
    rows = torch.arange(track.rows, device=of_output.device)
    for (until, _), final in zip(track.finals, by_step(track, grads[len(outputs) :]), strict=True):
        last = last_steps(track, until)
        real = last >= 0
        for state, gradient in zip(states, final, strict=True):
            state.index_put_((last[real], rows[real]), gradient[real], accumulate=True)
    return [track.cell.State(*step) for step in zip(*(s.unbind(0) for s in states), strict=True)]
