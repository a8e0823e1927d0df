"""The evidence on a run: the measurements that the rules read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from elman.inspection import Bad
from elman.training import Config, TrainConfig


class GradientReach(NamedTuple):
    """How far back in time the gradient of each row's last loss reaches.

    Measured at the layer and state where it decays least, among layers over long sequences.

    Attributes:
        growth: factor of the gradient norm per step back: above 1 it explodes, below 1 it vanishes.
        horizon: number of steps back at which it first falls below 1%; inf if it never does.
        steps: number of steps of the rows.
    """

    growth: float
    horizon: float
    steps: int


class Saturation(NamedTuple):
    """Saturation of gates and states.

    Attributes:
        stuck: share of gate values below 0.1 or above 0.9, for the gate with the largest share; for
            a cell without gates, share of state values beyond 0.9 in size.
        where: the gate or state.
        dead: largest share of units in a layer whose output is always 0.
    """

    stuck: float
    where: str
    dead: float


class Standing(NamedTuple):
    """A run's best validation score compared with its baselines.

    Differences are relative to the baseline's score, or for shares such as accuracy to the share
    that the baseline gets wrong. Above 0 the run is worse.

    Attributes:
        metric: name of the metric.
        own: score of the run.
        name: the best baseline.
        value: score of the best baseline.
        margin: relative difference from the best baseline.
        gain: relative difference from the weakest baseline.
        noise: standard error of ``margin`` from the number of rows; 0 if unknown.
        chance: standard error of ``gain``.
        perfect: whether the score is nearly perfect.
        origin: how the baselines were trained, if not by the run itself.
    """

    metric: str
    own: float
    name: str
    value: float
    margin: float
    gain: float
    noise: float = 0.0
    chance: float = 0.0
    perfect: bool = False
    origin: str = ""

    def __str__(self) -> str:
        of = f", {self.origin}" if self.origin else ""
        return (
            f"validation {self.metric} {self.own:.4g}, "
            f"{self.name.replace('_', ' ')} {self.value:.4g}{of}"
        )


@dataclass(frozen=True)
class LossCurve:
    """The logged losses of a run.

    Attributes:
        unit: unit of the loss.
        train: (update, mean loss since the previous entry).
        valid: (update, loss) of each validation; for tasks that do not measure their loss there,
            the score that selects the best checkpoint.
        begun: loss of the initial weights on some of the training data.
    """

    unit: str
    train: tuple[tuple[int, float], ...]
    valid: tuple[tuple[int, float], ...]
    begun: float

    @property
    def last(self) -> float:
        """The mean training loss over the last tenth of the run."""
        values = [loss for _, loss in self.train]
        return _mean(values[-max(1, len(values) // 10) :])

    @property
    def lowest(self) -> float:
        return min((loss for _, loss in self.train), default=math.nan)

    @property
    def first(self) -> float:
        return self.train[0][1] if self.train else math.nan

    @property
    def rise(self) -> float:
        """The share of the best improvement that was lost again; 1 or more is all of it."""
        start = max(self.first, self.begun)
        gained = max(start - self.lowest, 0.1 * abs(start))  # less may be noise
        return (self.last - self.lowest) / gained if gained > 0 else 0.0

    @property
    def above(self) -> float:
        """How much the lowest loss exceeds that of the initial weights, relative to the latter."""
        return (self.lowest - self.begun) / max(abs(self.begun), 1e-9)

    @property
    def falling(self) -> bool | None:
        """Whether the training loss fell in the last quarter; None if too few values are logged."""
        values = [loss for _, loss in self.train]
        if len(values) < 4:
            return None
        quarter = max(1, len(values) // 4)
        before, after = _mean(values[-2 * quarter : -quarter]), _mean(values[-quarter:])
        return before - after > 0.01 * abs(before)

    @property
    def best(self) -> tuple[int, float]:
        """The update and the loss of the best validation."""
        return min(self.valid, key=lambda point: point[1])

    @property
    def worse(self) -> float:
        """How much the last validation loss exceeds the best one, relative to the latter."""
        if not self.valid:
            return 0.0
        _, lowest = self.best
        return (self.valid[-1][1] - lowest) / max(abs(lowest), 1e-9)

    def trained(self, since: int) -> tuple[float, float]:
        """The training loss logged before an update, and at the end."""
        before = [loss for update, loss in self.train if update <= since][-2:]
        return (_mean(before) if before else self.first), self.last


@dataclass(frozen=True)
class Evidence:
    """All measurements that findings are based on.

    Attributes:
        config: the run's configuration; a custom task has no settings of data and model.
        events: the events of metrics.jsonl.
        bad: where the first NaN or infinity arises with the last checkpoint; None if nowhere.
        bad_rows: the training rows it arises in, as far as known.
        broke: where the first NaN or infinity arose when the run diverged; None if it did not.
        first: `GradientReach` of the gradient with the initial weights.
        last: `GradientReach` of the gradient with the last checkpoint.
        first_saturation, last_saturation: `Saturation` of gates and states with the same two.
        clipped: share of updates that were clipped; None if not logged.
        norms: gradient norms before clipping.
        ratio: relative size of the first update: the median over weight matrices of the norm of the
            change over the norm of the matrix, at the configured learning rate.
        bias: bias of truncated backpropagation, with the initial or the last weights, whichever is
            smaller; None if the gradient is not truncated.
        enough: the smallest truncation length with a bias of at most a tenth, among the run's own
            length and its doublings.
        scale: root mean square of the input of the first recurrent layer.
        losses: the logged losses.
        standing: comparison with the baselines; None without baselines or validation.
        rows: number of training rows measured, the longest ones.
    """

    config: Config
    events: Sequence[Mapping[str, Any]]
    bad: Bad | None
    bad_rows: tuple[int, ...]
    broke: Bad | None
    first: GradientReach
    last: GradientReach
    first_saturation: Saturation
    last_saturation: Saturation
    clipped: float | None
    norms: tuple[float, ...]
    ratio: float
    bias: float | None
    enough: int | None
    scale: float
    losses: LossCurve
    standing: Standing | None
    rows: int

    @property
    def steps(self) -> int:
        """The number of steps that a gradient can flow back in training."""
        return min(cut(self.config) or self.first.steps, self.first.steps)

    @property
    def watched(self) -> bool:
        return any(event["event"] == "watch" for event in self.events)

    @property
    def ended(self) -> bool:
        return any(event["event"] == "end" for event in self.events)

    @property
    def diverged(self) -> bool:
        return any(event["event"] == "diverged" for event in self.events)


def cut(config: Config) -> int | None:
    """The number of steps after which the gradient is truncated; None if it is not."""
    train = config.train
    if not isinstance(train, TrainConfig) or train.bptt != "truncated":
        return None
    return train.k2 or train.k1


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
