"""The sample of training data that is measured: a few windows, and the longest rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from torch import Tensor

from elman._errors import ConfigError
from elman.diagnosis._evidence import cut
from elman.inspection import Bad, first_bad, first_bad_of
from elman.tasks import Part, Supervised, Task, evaluating
from elman.training import Config

ROWS = 16
"""Number of the longest rows that are measured."""

STEPS = 128
"""Steps to measure of batches that are cut in time, or four windows if that is more."""

WINDOWS = 64
"""Windows to search for NaN and infinity after a run diverged."""


class BatchPrefix:
    """The first steps of a batch, in place of the batch itself."""

    def __init__(self, batch: Any, steps: int) -> None:
        self._batch, self.steps = batch, steps

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # a task may check its type
        return type(self._batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)


class BatchWindow(NamedTuple):
    """The steps of a batch between two backward passes."""

    batch: Any
    start: int
    stop: int

    def loss(self, task: Task) -> Tensor:
        """The summed loss, from a state of zeros."""
        return task.loss(self.batch, self.start, self.stop, None)[0]

    @property
    def terms(self) -> int:
        return max(1, int(self.batch.count(self.start, self.stop)))


def windows(task: Task, config: Config, epoch: int = 0, batch: int = 0) -> Iterator[BatchWindow]:
    """The windows of an epoch, starting from a batch."""
    size = getattr(config.train, "k1", 0) if cut(config) else 0
    for each in islice(task.batches("train", epoch), batch, None):
        for start in range(0, each.steps, size or each.steps):
            yield BatchWindow(each, start, min(start + (size or each.steps), each.steps))


def longest(task: Task, config: Config) -> Any:
    """The longest training rows as a batch; only the first steps if batches are cut in time."""
    if isinstance(task, Supervised):
        return head(task.longest_rows("train", ROWS), config)
    some = islice(task.batches("train"), WINDOWS)
    return head(max(some, key=lambda batch: batch.steps), config)


def head(batch: Any, config: Config) -> Any:
    """The batch, or its first steps if it is long."""
    steps = max(STEPS, 4 * (cut(config) or 0))
    return BatchPrefix(batch, steps) if batch.steps > steps else batch


def measured(task: Task, config: Config) -> Any:
    """The longest rows, or if their loss is not finite, the first batch with a finite loss.

    Raises:
        ConfigError: there is none.
    """
    batches = (head(batch, config) for batch in islice(task.batches("train"), WINDOWS))
    for batch in (longest(task, config), *batches):
        if _finite(task, BatchWindow(batch, 0, batch.steps)):
            return batch
    raise ConfigError(
        "no batch of training data has a finite loss: check the data and the initial weights"
    )


def spoiled(
    task: Task, config: Config, at: Mapping[str, Any], failed: int | None
) -> tuple[Bad | None, tuple[int, ...]]:
    """Where NaN or infinity arises, and from which training rows.

    Training stops at the first such loss, so windows are searched only if the run diverged,
    starting from the update that failed.

    Args:
        task: with the weights of the last checkpoint.
        config: the run's configuration.
        at: the position of that checkpoint in the data.
        failed: the number of updates before the run diverged; None if it did not.
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
            bad = first_bad_of(task.network, lambda window=window: window.loss(task))  # type: ignore[misc]
            return bad, _rows(task, window.batch)
    return None, ()


def _origin(task: Task, batch: Any) -> tuple[Bad | None, tuple[int, ...]]:
    return first_bad(task, batch), _rows(task, batch)


def _finite(task: Task, window: BatchWindow) -> bool:
    with evaluating(task.network):
        return bool(window.loss(task).isfinite())


def _rows(task: Task, batch: Any) -> tuple[int, ...]:
    """The rows of a batch whose loss is not finite."""
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
