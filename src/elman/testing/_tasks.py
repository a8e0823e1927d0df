"""The contracts of tasks: what training, resumption, evaluation and reports count on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from elman.bptt import State
from elman.tasks import Metrics, Supervised, Task, evaluating
from elman.testing._base import expect

MakeTask = Callable[[], Task]
TaskContract = Callable[[MakeTask], None]

SOME = 3
"""Batches that are looked at, where one would do and all might be many."""

STEPS = 10
"""Updates after which the loss of a batch must be lower."""


def _task(make: MakeTask) -> Task:
    torch.manual_seed(0)
    task = make()
    task.seed = 0
    torch.manual_seed(0)
    task.network = task.build()
    return task


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-4)


def _losses(task: Task, split: str, epoch: int = 0) -> list[float]:
    """The loss of each batch, each beginning anew."""
    with evaluating(task.network):
        return [
            float(task.loss(batch, 0, batch.steps, None)[0])
            for batch in islice(task.batches(split, epoch), SOME)
        ]


def _measured(task: Task) -> list[str]:
    return [split for split in task.splits if split != "train"]


def building_follows_the_seed(make: MakeTask) -> None:
    """The same seed of torch's generator builds the same weights."""
    first, second = (_task(make).network.state_dict() for _ in range(2))
    same = first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
    expect(same, "build draws from torch's generator alone")


def an_epoch_repeats(make: MakeTask) -> None:
    """The same epoch has the same batches in the same order, or no run could be resumed."""
    task = _task(make)
    first, second = (_losses(task, "train", epoch=1) for _ in range(2))
    torch.manual_seed(1)
    expect(
        first == second == _losses(task, "train", epoch=1), "an epoch has the same batches again"
    )


def lengths_are_known(make: MakeTask) -> None:
    """``lengths`` says how long the first epoch's batches are; every epoch has as many."""
    task = _task(make)
    steps = [batch.steps for batch in task.batches("train", 0)]
    expect(task.lengths() == steps, "lengths says what steps the batches of an epoch have")
    again = sum(1 for _ in task.batches("train", 1))
    expect(again == len(steps), "every epoch has as many batches")


def the_loss_is_a_sum(make: MakeTask) -> None:
    """A batch cut in time has the loss and the count of the whole, the state handed over."""
    task = _task(make)
    with evaluating(task.network):
        for batch in islice(task.batches("train"), SOME):
            whole, _ = task.loss(batch, 0, batch.steps, None)
            expect(whole.ndim == 0, f"a loss is one number, got the shape {tuple(whole.shape)}")
            state: State = None
            parts, count, middle = 0.0, 0, max(1, batch.steps // 2)
            for start, stop in ((0, middle), (middle, batch.steps)):
                if start < stop:
                    loss, state = task.loss(batch, start, stop, state)
                    parts, count = parts + float(loss), count + batch.count(start, stop)
            expect(_close(float(whole), parts), "the loss of a batch is the sum over its steps")
            expect(count == batch.count(0, batch.steps) > 0, "the counts of its parts add up")


def a_batch_is_its_rows(make: MakeTask) -> None:
    """Rows have the loss together that they have alone: padding counts nowhere, nor do others.

    For a `Supervised` task, whose rows can be batched anew.
    """
    task = _task(make)
    if not isinstance(task, Supervised):
        return
    rows = task.part(_measured(task)[0] if _measured(task) else "train")
    losses: list[tuple[float, int]] = []
    with evaluating(task.network):
        for size in (1, len(rows)):
            task.batch_rows = size
            batches = task.batched(rows)
            total = sum(float(task.criterion(batch)) for batch in batches)
            losses.append((total, sum(batch.terms for batch in batches)))
    (alone, terms), (together, same) = losses
    expect(_close(alone, together), "the loss of a batch is the sum of its rows' losses")
    expect(terms == same, "the terms of a batch are those of its rows")


def every_weight_learns(make: MakeTask) -> None:
    """Each trainable weight has a finite gradient, and following it lowers a batch's loss."""
    task = _task(make)
    task.network.eval()  # without dropout, which is noise here
    weights = {n: p for n, p in task.network.named_parameters() if p.requires_grad}
    batches = list(islice(task.batches("train"), SOME))
    for batch in batches:
        _loss(task, batch).backward()  # type: ignore[no-untyped-call]
    for name, weight in weights.items():
        reached = weight.grad is not None and bool(weight.grad.isfinite().all())
        expect(reached, f"the loss has a finite gradient in {name}")
    optimizer = torch.optim.Adam(weights.values(), 1e-3)
    before = float(_loss(task, batches[0]).detach())
    for _ in range(STEPS):
        optimizer.zero_grad()
        _loss(task, batches[0]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    expect(float(_loss(task, batches[0]).detach()) < before, "the gradient leads to a lower loss")


def _loss(task: Task, batch: Any) -> Tensor:
    return task.loss(batch, 0, batch.steps, None)[0]


def evaluation_leaves_no_trace(make: MakeTask) -> None:
    """Measuring changes neither weights, mode nor torch's generator, and gives the same again."""
    task = _task(make)
    for split in _measured(task):
        task.network.train()
        weights = {n: t.clone() for n, t in task.network.state_dict().items()}
        random = torch.get_rng_state()
        first = task.evaluate(split)
        expect(torch.equal(torch.get_rng_state(), random), "evaluation draws nothing at random")
        expect(task.network.training, "the network is in training mode again")
        after = task.network.state_dict()
        expect(all(torch.equal(after[n], t) for n, t in weights.items()), "no weight has changed")
        expect(task.evaluate(split) == first, f"{split} has the same metrics again")


def metrics_are_numbers(make: MakeTask) -> None:
    """Metrics are finite numbers; the network and every baseline have the one of the task."""
    task = _task(make)
    baselines = task.baselines()
    for split in _measured(task):
        metrics = task.evaluate(split)
        _expect_numbers(metrics, split)
        for metric in (task.metric, task.selection):
            expect(metric.name in metrics, f"{metric.name} is among the metrics of {split}")
        for model, measured in baselines.items():
            values = measured.get(split, {})
            expect(task.metric.name in values, f"{model} has {task.metric.name} on {split}")
            _expect_numbers(values, f"{model} on {split}")


def _expect_numbers(metrics: Metrics, what: str) -> None:
    expect(bool(metrics), f"{what} has metrics")
    for name, value in metrics.items():
        kept = isinstance(value, int | float) and math.isfinite(value)
        expect(kept, f"{name} of {what} is a finite number, got {value!r}")


def reports_are_well_formed(make: MakeTask) -> None:
    """Facts are JSON; a table's rows have its columns; pictures have names of their own."""
    task = _task(make)
    try:
        json.dumps(task.facts(), allow_nan=False)
    except (TypeError, ValueError) as error:
        expect(False, f"facts are JSON: {error}")
    for split in _measured(task):
        predictions = task.predict(split)
        samples = task.samples(predictions)
        for table in [*task.tables(predictions), *([samples] if samples else [])]:
            kept = all(len(row) == len(table.columns) for row in table.rows)
            expect(kept, f"each row of {table.title!r} has a value for each column")
        names = [picture.name for picture in task.plots(predictions)]
        expect(len(names) == len(set(names)), f"each picture has a name of its own: {names}")


def an_excerpt_is_a_batch(make: MakeTask) -> None:
    """The rows to look inside with have a loss, and names of their steps where these have some."""
    task = _task(make)
    if "valid" not in task.splits:
        return
    excerpt = task.excerpt(2)
    with evaluating(task.network):
        loss, _ = task.loss(excerpt.batch, 0, excerpt.batch.steps, None)
    expect(bool(loss.isfinite()), "an excerpt is a batch that the loss can be computed of")
    words = [each for row in excerpt.words for each in row.values()]
    expect(all(map(len, words)), "where steps have names, there are some")


def saved_is_restored(make: MakeTask) -> None:
    """A task that was saved and restored measures what the first one did.

    For a task that has a configuration, and keeps its sections as ``data`` and ``model``.
    """
    task: Any = _task(make)
    if not hasattr(task, "restore") or getattr(task, "data", None) is None:
        return
    with TemporaryDirectory() as folder:
        task.save(Path(folder))
        again: Any = type(task).restore(Path(folder), task.data, task.model)
        again.seed, again.network = task.seed, again.build()
        again.network.load_state_dict(task.network.state_dict())
        expect(set(again.splits) == set(task.splits), "a restored task has the same splits")
        for split in _measured(task):
            expect(again.evaluate(split) == task.evaluate(split), f"{split} is measured the same")
        kept = _losses(again, "train", 1) == _losses(task, "train", 1)
        expect(kept, "training goes on with the same batches")


TASK_CONTRACTS: tuple[TaskContract, ...] = (
    building_follows_the_seed,
    an_epoch_repeats,
    lengths_are_known,
    the_loss_is_a_sum,
    a_batch_is_its_rows,
    every_weight_learns,
    evaluation_leaves_no_trace,
    metrics_are_numbers,
    reports_are_well_formed,
    an_excerpt_is_a_batch,
    saved_is_restored,
)


def check_task(make: MakeTask) -> None:
    """Runs every contract of a task.

    Args:
        make: returns a new small task with its data, a few rows of each split; its network is
            built here.

    Raises:
        ContractError: says which contract is broken.

    Example:
        >>> from elman.tasks import Regress, RegressData, RegressNet
        >>> check_task(lambda: Regress.prepare(RegressData(rows=30, steps=6), RegressNet(hidden=4)))
    """
    for contract in TASK_CONTRACTS:
        contract(make)
