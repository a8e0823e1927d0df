"""What of a run's training data the doctor reads: a few windows, and its longest rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from torch import Tensor

from elman._errors import ConfigError
from elman.diagnosis._evidence import cut
from elman.inspection import Bad, first_bad
from elman.inspection._first_bad import find
from elman.tasks import Part, Supervised
from elman.tasks._base import Task, evaluating
from elman.training import Config

ROWS = 16
"""So many of the longest rows are measured."""

STEPS = 128
"""Of batches that are cut in time, so many steps are looked at, or four windows if that is more."""

WINDOWS = 64
"""So many windows are searched for values that are not finite, of a run that met some."""


class BatchPrefix:
    """The first steps of a batch; tasks take it for the batch itself."""

    def __init__(self, batch: Any, steps: int) -> None:
        self._batch, self.steps = batch, steps

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # a task may ask what it is
        return type(self._batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)


class BatchWindow(NamedTuple):
    """Steps of a batch between two backward passes."""

    batch: Any
    start: int
    stop: int

    def loss(self, task: Task) -> Tensor:
        """Summed, from a state of zeros."""
        return task.loss(self.batch, self.start, self.stop, None)[0]

    @property
    def terms(self) -> int:
        return max(1, int(self.batch.count(self.start, self.stop)))


def windows(task: Task, config: Config, epoch: int = 0, batch: int = 0) -> Iterator[BatchWindow]:
    """The windows of an epoch of training, from a batch on."""
    size = getattr(config.train, "k1", 0) if cut(config) else 0
    for each in islice(task.batches("train", epoch), batch, None):
        for start in range(0, each.steps, size or each.steps):
            yield BatchWindow(each, start, min(start + (size or each.steps), each.steps))


def longest(task: Task, config: Config) -> Any:
    """The longest training rows as a batch, of those that are cut in time the first steps."""
    if isinstance(task, Supervised):
        return head(task.longest_rows("train", ROWS), config)
    some = islice(task.batches("train"), WINDOWS)
    return head(max(some, key=lambda batch: batch.steps), config)


def head(batch: Any, config: Config) -> Any:
    """The batch itself, or as much of its time as is worth looking at."""
    steps = max(STEPS, 4 * (cut(config) or 0))
    return BatchPrefix(batch, steps) if batch.steps > steps else batch


def measured(task: Task, config: Config) -> Any:
    """The longest rows; if their loss is not finite, the first batch whose loss is.

    Raises:
        ConfigError: there is none.
    """
    batches = (head(batch, config) for batch in islice(task.batches("train"), WINDOWS))
    for batch in (longest(task, config), *batches):
        if _finite(task, BatchWindow(batch, 0, batch.steps)):
            return batch
    raise ConfigError("expected a batch of training data whose loss is finite, found none")


def spoiled(
    task: Task, config: Config, at: Mapping[str, Any], failed: int | None
) -> tuple[Bad | None, tuple[int, ...]]:
    """Where a value arises that is not finite, and from which training rows.

    Training stops at the first such loss, so that only a run that met one has windows to search:
    those from the update that failed on.

    Args:
        task: with the weights of the last checkpoint.
        config: the run's.
        at: where that checkpoint stands in the data.
        failed: the updates that were done when the run diverged; None if it did not.
    """
    if failed is None:
        batch = longest(task, config)
        return (
            (None, ())
            if _finite(task, BatchWindow(batch, 0, batch.steps))
            else _origin(task, batch)
        )
    begin = max(0, failed - at["update"]) * config.train.accumulate + at["window"]
    rest = windows(task, config, at["epoch"], at["batch"])
    for window in islice(rest, begin, begin + WINDOWS):
        if not _finite(task, window):
            bad = find(task.network, lambda window=window: window.loss(task))  # type: ignore[misc]
            return bad, _rows(task, window.batch)
    return None, ()


def _origin(task: Task, batch: Any) -> tuple[Bad | None, tuple[int, ...]]:
    return first_bad(task, batch), _rows(task, batch)


def _finite(task: Task, window: BatchWindow) -> bool:
    with evaluating(task.network):
        return bool(window.loss(task).isfinite())


def _rows(task: Task, batch: Any) -> tuple[int, ...]:
    """Which rows of the data the loss of a batch of them is not finite for."""
    if not isinstance(batch, Part) or not isinstance(task, Supervised):
        return ()
    if isinstance(batch, BatchPrefix):
        batch = batch._batch
    alone: Sequence[Part] = [
        replace(batch, indices=batch.indices[i : i + 1]) for i in range(batch.rows)
    ]
    with evaluating(task.network):
        wrong = [part for part in alone if not bool(task.criterion(part).isfinite())]
    return tuple(int(part.indices) for part in wrong)
