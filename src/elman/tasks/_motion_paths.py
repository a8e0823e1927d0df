"""Paths and how good they are: a step ahead, and rolled out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from elman.scan import mask
from elman.tasks._task import Metrics

OUTSIDE = 0.02
"""A path is inside the box if it leaves it by no more."""


class Paths(NamedTuple):
    """The next positions after each step of rows (rows, steps, balls, 2), and roll-outs."""

    following: Tensor
    ahead: Tensor


class Truth(NamedTuple):
    """Where things were (rows, steps, balls, 2), in how many steps, of which how many were seen."""

    path: Tensor
    lengths: Tensor
    seen: int


Next = Callable[[Tensor], Tensor]
"""From the last two positions (2, rows, balls, 2) to the next (rows, balls, 2)."""


def straight(last: Tensor) -> Tensor:
    """On as before: constant velocity.

    >>> straight(torch.tensor([[[[0.1, 0.5]]], [[[0.2, 0.5]]]]))
    tensor([[[0.3000, 0.5000]]])
    """
    return 2 * last[1] - last[0]


def predicted(after: Next, truth: Truth, steps: int) -> Paths:
    """The predictions of a function of the last two positions: step by step, and rolled out.

    After the first position alone, nothing moves. Rows with fewer steps than ``truth.seen`` are
    rolled out from their end.
    """
    path, seen = truth.path, min(truth.seen, truth.path.shape[1])
    pairs = torch.stack([path[:, :-2], path[:, 1:-1]])
    later = after(pairs.flatten(1, 2)).view_as(pairs[1])
    ahead = list(path[:, seen - 2 : seen].unbind(1))
    for _ in range(steps):
        ahead.append(after(torch.stack(ahead[-2:])))
    return Paths(torch.cat([path[:, :1], later], 1), torch.stack(ahead[2:], 1))


def measured(paths: Paths, truth: Truth, box: Tensor) -> Metrics:
    """The metrics of paths, see `Motion`; those of roll-outs where rows are long enough."""
    path, lengths, seen = truth
    real = mask(lengths - 1, path.shape[1] - 1).clone()
    real[:, 0] = False  # one frame tells nobody a velocity
    metrics = {"rmse": _rmse(paths.following, path[:, 1:], real)}
    steps = paths.ahead.shape[1]
    whole = lengths >= seen + steps
    if whole.any():
        ahead, true = paths.ahead[whole], path[whole, seen : seen + steps]
        low, high = box[0] - OUTSIDE, box[1] + OUTSIDE
        metrics |= {
            "rollout_rmse": _rmse(ahead, true),
            "inside": float(((ahead >= low) & (ahead <= high)).flatten(1).all(1).double().mean()),
            "bounces": float(bounces(ahead).double().mean()),
            "true_bounces": float(bounces(true).double().mean()),
        }
    return metrics


def copied(videos: Iterable[Tensor]) -> float:
    """The mean squared error of a pixel, of 1, if each frame is taken for the next.

    As with ``rmse``, the first frame of each video (steps, size, size) is left out.
    """
    errors = [((v[2:].float() - v[1:-1].float()) / 255).square().mean((1, 2)) for v in videos]
    return float(torch.cat(errors).double().mean())


def by_steps(ahead: Tensor, truth: Truth) -> list[float]:
    """The rmse of roll-outs after each number of steps; of rows that are so long, if any."""
    end = truth.seen + ahead.shape[1]
    whole = truth.lengths >= end
    if not whole.any():
        return []
    squares = _squares(ahead[whole], truth.path[whole, truth.seen : end])
    errors: list[float] = squares.mean(0).sqrt().tolist()
    return errors


def bounces(path: Tensor) -> Tensor:
    """Turns of paths (rows, steps, balls, 2) that gravity does not make: sideways, or upwards.

    >>> x, y = torch.tensor([1.0, 2, 1, 0, 1]), torch.tensor([2.0, 1, 2, 3, 2])
    >>> bounces(torch.stack([x, y], -1)[None, :, None])
    tensor([3])
    """
    v = path.diff(dim=1)
    turns = v[:, :-1] * v[:, 1:] < 0
    turns[..., 1] &= v[:, 1:, :, 1] > 0
    return turns.sum((1, 2, 3))


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (rows, steps), the mean over balls."""
    distances: Tensor = torch.linalg.vector_norm((a - b).double(), dim=-1)
    return distances.square().mean(-1)


def _rmse(a: Tensor, b: Tensor, real: Tensor | None = None) -> float:
    squares = _squares(a, b)
    return float((squares if real is None else squares[real]).mean().sqrt())
