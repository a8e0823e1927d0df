"""Gradient policies: how far back in time the gradient flows, and what is kept to let it.

A policy knows nothing of networks. It is given a ``segment``, the caller's own piece of the forward
pass, cuts the sequence into windows, and leaves the gradients in the parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from torch.utils.checkpoint import checkpoint

from elman._errors import ConfigError

__all__ = [
    "CheckpointedBPTT",
    "FullBPTT",
    "GradientPolicy",
    "Segment",
    "State",
    "TruncatedBPTT",
    "Window",
    "detach",
]

State: TypeAlias = Any
"""Whatever the network carries from step to step: a tensor, or tuples of them; None begins anew."""

Segment: TypeAlias = Callable[[int, int, State, bool], tuple[Tensor, State]]
"""``segment(start, stop, state, with_loss) -> (loss, state)``: the steps ``start`` to ``stop``
(exclusive) from ``state``. A window's losses are added up; one without ``with_loss`` is ignored."""


class Window(NamedTuple):
    """One piece of work between two backward passes, in steps of the sequence.

    The forward pass runs from ``start`` to ``stop``; only the steps from ``loss_from`` bear a loss;
    the state at ``keep`` is where the next window starts.
    """

    start: int
    keep: int
    loss_from: int
    stop: int


class GradientPolicy(ABC):
    """Cuts a sequence into windows, and runs one."""

    @abstractmethod
    def windows(self, steps: int) -> Iterator[Window]:
        """The windows of a sequence of that many steps; each step bears its loss in exactly one."""

    def run(self, segment: Segment, window: Window, state: State) -> tuple[Tensor, State]:
        """Run one window from the state kept for it: the sum of its losses, and the state to keep.

        The kept state is detached: no gradient flows from one window into the one before.
        """
        losses = []
        kept = detach(state)
        for start, stop in pairwise(sorted(set(window))):
            loss, state = segment(start, stop, state, start >= window.loss_from)
            if start >= window.loss_from:
                losses.append(loss)
            if stop == window.keep:
                kept = detach(state)
        return sum(losses[1:], losses[0]), kept

    def backward(self, segment: Segment, steps: int, state: State = None) -> tuple[Tensor, State]:
        """Run every window of a sequence and add its gradient to the parameters' ``grad``.

        Args:
            segment: the forward pass over a piece of the sequence, see `Segment`.
            steps: length of the sequence.
            state: state before its first step; None begins anew.

        Returns:
            The summed loss, detached, and the detached state after the last step.

        Example:
            >>> x, w = torch.arange(6.0), torch.ones((), requires_grad=True)
            >>> def segment(start, stop, state, with_loss):
            ...     for t in range(start, stop):
            ...         state = w * (0 if state is None else state) + x[t]
            ...     return state, state
            >>> FullBPTT().backward(segment, 6)
            (tensor(15.), tensor(15.))
        """
        total = torch.zeros(())
        for window in self.windows(steps):
            loss, state = self.run(segment, window, state)
            loss.backward()  # type: ignore[no-untyped-call]
            total = total.to(loss) + loss.detach()
        return total, state


class FullBPTT(GradientPolicy):
    r"""The exact gradient: one window, back to the first step.

    .. math:: \frac{dL}{dW} = \sum_t \sum_{s \le t} \frac{\partial L_t}{\partial h_t}
        \frac{\partial h_t}{\partial h_s} \frac{\partial h_s}{\partial W}

    Memory grows with the number of steps.

    Example:
        >>> list(FullBPTT().windows(100))
        [Window(start=0, keep=100, loss_from=0, stop=100)]

    References:
        Werbos 1990, "Backpropagation through time: what it does and how to do it".
    """

    def windows(self, steps: int) -> Iterator[Window]:
        if steps:
            yield Window(0, steps, 0, steps)


class TruncatedBPTT(GradientPolicy):
    r"""BPTT(k2; k1): every k1 steps, a backward pass through the last k2 steps.

    .. math:: \sum_{s \le t} \to \sum_{t - k_2 < s \le t}

    The state is carried over the cut, detached. With ``k2 = k1`` no step is computed twice, but for
    a last window that k1 does not fill: it too reaches back k2 steps. With ``k2`` the length of the
    sequence, and one update after all windows, this is `FullBPTT` to rounding.

    Args:
        k1: steps between two backward passes.
        k2: steps that the gradient flows back, at least k1; None for k1.

    Raises:
        ConfigError: k1 < 1 or k2 < k1.

    Example:
        >>> list(TruncatedBPTT(20, 30).windows(50))
        [Window(start=0, keep=10, loss_from=0, stop=20),
         Window(start=10, keep=20, loss_from=20, stop=40),
         Window(start=20, keep=50, loss_from=40, stop=50)]

    References:
        Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of
        recurrent network trajectories".
    """

    def __init__(self, k1: int, k2: int | None = None) -> None:
        self.k1, self.k2 = k1, k1 if k2 is None else k2
        if not 1 <= self.k1 <= self.k2:
            raise ConfigError(
                f"truncated BPTT reaches back k2 steps every k1 steps, with 1 <= k1 <= k2; "
                f"got k1={k1}, k2={k2}"
            )

    def windows(self, steps: int) -> Iterator[Window]:
        for loss_from in range(0, steps, self.k1):
            stop = min(loss_from + self.k1, steps)
            keep = steps if stop == steps else self._start(min(stop + self.k1, steps))
            yield Window(self._start(stop), keep, loss_from, stop)

    def _start(self, stop: int) -> int:
        return max(0, stop - self.k2)


class CheckpointedBPTT(GradientPolicy):
    """The exact gradient of `FullBPTT` with little memory: inner steps are computed twice.

    Only the state at every ``every``-th step is saved; the steps between are run again in the
    backward pass. Memory grows as ``every + T / every``, for the time of one more forward pass.

    Args:
        every: steps between two saved states.

    Raises:
        ConfigError: every < 1.

    Example:
        >>> list(CheckpointedBPTT(10).windows(100))
        [Window(start=0, keep=100, loss_from=0, stop=100)]

    References:
        Chen, Xu, Zhang & Guestrin 2016, "Training deep nets with sublinear memory cost".
        Gruslys, Munos, Danihelka, Lanctot & Graves 2016, "Memory-efficient backpropagation through
        time".
    """

    def __init__(self, every: int) -> None:
        self.every = every
        if every < 1:
            raise ConfigError(
                f"checkpointed BPTT saves a state every `every` >= 1 steps, got {every}"
            )

    def windows(self, steps: int) -> Iterator[Window]:
        return FullBPTT().windows(steps)

    def run(self, segment: Segment, window: Window, state: State) -> tuple[Tensor, State]:
        losses = []
        for start in range(window.start, window.stop, self.every):
            stop = min(start + self.every, window.stop)
            loss, state = checkpoint(segment, start, stop, state, True, use_reentrant=False)
            losses.append(loss)
        return sum(losses[1:], losses[0]), detach(state)


def detach(state: State) -> State:
    """The same state, cut from the graph that computed it."""
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, state)


def __dir__() -> list[str]:
    return sorted(__all__)
