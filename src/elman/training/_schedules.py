"""Learning rate schedules: functions of the epoch and the update, without state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Returns the factor of the learning rate; epoch and update count from 0."""

    def __call__(self, epoch: int, update: int) -> float: ...


@dataclass(frozen=True)
class Constant:
    """A constant learning rate.

    >>> Constant()(epoch=3, update=1000)
    1.0
    """

    def __call__(self, epoch: int, update: int) -> float:
        return 1.0


@dataclass(frozen=True)
class StepDecay:
    r"""The full rate for some epochs, then a decay by a fixed factor in each epoch.

    .. math:: \eta_e = \eta \, \gamma^{\max(0,\ e + 1 - n)}

    Args:
        after: epochs at the full rate, n.
        factor: decay of the rate in each later epoch, gamma.

    Example:
        >>> halve = StepDecay(after=4, factor=0.5)
        >>> [halve(epoch, update=0) for epoch in range(7)]
        [1.0, 1.0, 1.0, 1.0, 0.5, 0.25, 0.125]

    References:
        Zaremba, Sutskever & Vinyals 2014, "Recurrent neural network regularization".
    """

    after: int
    factor: float

    def __call__(self, epoch: int, update: int) -> float:
        return self.factor ** max(0, epoch + 1 - self.after)


@dataclass(frozen=True)
class Cosine:
    r"""A linear warm-up, then a cosine decay.

    .. math:: \eta_t = \eta_\mathrm{end} + \tfrac12 (\eta - \eta_\mathrm{end})
        \Big(1 + \cos \pi \frac{t - t_w}{T - t_w}\Big)

    Args:
        updates: number of updates of the run, T.
        warmup: number of warm-up updates.
        final: factor of the rate after the last update.

    Example:
        >>> rate = Cosine(updates=100, warmup=2)
        >>> [round(rate(0, update), 3) for update in (0, 1, 2, 51, 100)]
        [0.5, 1.0, 1.0, 0.5, 0.0]

    References:
        Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts".
    """

    updates: int
    warmup: int = 0
    final: float = 0.0

    def __call__(self, epoch: int, update: int) -> float:
        if update < self.warmup:
            return (update + 1) / self.warmup
        done = min(1.0, (update - self.warmup) / max(1, self.updates - self.warmup))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
