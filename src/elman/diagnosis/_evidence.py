"""What the doctor knows of a run: the measures that its rules read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from elman.inspection import Bad
from elman.training import Config, TrainConfig


class Reach(NamedTuple):
    """How the gradient of each row's last loss changes on its way back through time.

    Of the layer and the state in which it falls least, among layers of long sequences.

    Attributes:
        growth: the factor of its norm for a step back: above 1 it explodes, below it vanishes.
        horizon: how many steps back it first is below 1 %; inf if it never is.
        steps: how many there are.
    """

    growth: float
    horizon: float
    steps: int


class Use(NamedTuple):
    """How gates and states are used.

    Attributes:
        stuck: the share of values below 0.1 or above 0.9, of the gate of which it is largest; of a
            cell without gates that of its state's beyond 0.9 in size.
        where: which gate or state that is.
        dead: the share of units of a layer whose output is 0 throughout.
    """

    stuck: float
    where: str
    dead: float


class Standing(NamedTuple):
    """A run's best validation score beside that of its best baseline.

    Differences are relative: of numbers to the baseline's, of shares such as the accuracy to the
    share that the baseline gets wrong. Above 0 the run is the worse one.

    Attributes:
        metric: what is compared.
        own: the run's.
        name: the best baseline.
        value: its measure.
        margin: the difference from it.
        gain: the difference from the weakest baseline.
        noise: one standard error of ``margin``, as far as the number of rows says; else 0.
        chance: the same of ``gain``.
        perfect: whether next to nothing is left to learn.
        origin: where the baselines come from, if not from the run's own end.
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
    """How the loss went, as it was logged.

    Attributes:
        unit: what it is measured in.
        train: (update, mean loss since the last line) in their order.
        valid: (update, loss) of each validation; of tasks that do not measure their loss there,
            the score that the best checkpoint goes by.
        begun: the loss of the first weights on some of the training data.
    """

    unit: str
    train: tuple[tuple[int, float], ...]
    valid: tuple[tuple[int, float], ...]
    begun: float

    @property
    def last(self) -> float:
        """The training loss of the last tenth of the run."""
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
        """How much of what was gained at best was lost again: 1 and more is all of it."""
        start = max(self.first, self.begun)
        gained = max(start - self.lowest, 0.1 * abs(start))  # less may be noise
        return (self.last - self.lowest) / gained if gained > 0 else 0.0

    @property
    def above(self) -> float:
        """By how much the lowest loss is larger than that of the first weights, relative to it."""
        return (self.lowest - self.begun) / max(abs(self.begun), 1e-9)

    @property
    def falling(self) -> bool | None:
        """Whether the training loss fell in the last quarter; None if too little is logged."""
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
        """How much larger the last validation loss is than the best one, relative to it."""
        if not self.valid:
            return 0.0
        _, lowest = self.best
        return (self.valid[-1][1] - lowest) / max(abs(lowest), 1e-9)

    def trained(self, since: int) -> tuple[float, float]:
        """The mean training loss logged around an update, and at the end."""
        before = [loss for update, loss in self.train if update <= since][-2:]
        return (_mean(before) if before else self.first), self.last


@dataclass(frozen=True)
class Evidence:
    """All that findings are made of.

    Attributes:
        config: the run's; that of a task of one's own has no settings of data and model.
        events: the lines of its metrics.jsonl.
        bad: where the first value that is not finite arises, on the last checkpoint and the
            training data; None if nowhere.
        bad_rows: the rows of the training data it arises in, where that can be told.
        broke: where the first value that is not finite arose when the run diverged, if it did.
        first: `Reach` of the weights that the run began with.
        last: the same of its last checkpoint.
        first_use, last_use: `Use` of the same two.
        clipped: the share of updates that clipping changed.
        norms: norms of gradients before clipping.
        ratio: how far the first update moves the weight matrices: the median of norm of the change
            over norm of the matrix, at the configured rate.
        bias: of truncated backpropagation, on the first weights or the last, where it is smaller;
            None where nothing is cut.
        enough: the smallest truncation whose bias is at most a tenth, of those measured: the run's
            own, and twice, four times ... as long.
        scale: root mean square of what enters the first recurrent layer.
        course: how the loss went.
        standing: beside the baselines; None if there are none, or nothing was validated.
        rows: how many rows of the training data were looked at, the longest ones.
    """

    config: Config
    events: Sequence[Mapping[str, Any]]
    bad: Bad | None
    bad_rows: tuple[int, ...]
    broke: Bad | None
    first: Reach
    last: Reach
    first_use: Use
    last_use: Use
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
        """How many steps a gradient can go back in training."""
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
    """The steps that truncation lets a gradient go back; None if there is none."""
    train = config.train
    if not isinstance(train, TrainConfig) or train.bptt != "truncated":
        return None
    return train.k2 or train.k1


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
