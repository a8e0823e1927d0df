"""The ways into training: a configuration, a task of your own, a run that stopped or is done."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from elman._errors import ConfigError, DtypeError, kind_of
from elman.tasks import TASKS, by_name
from elman.tasks._base import Metrics, NamedTask, Reading, Task
from elman.training import _parts as parts
from elman.training._checkpoint import unpack_module
from elman.training._config import (
    FORMAT,
    Config,
    Training,
    check_config,
    config_class,
    own_config_class,
)
from elman.training._folder import named
from elman.training._loop import Report, Result, Trainer
from elman.training._memory import require_memory
from elman.training._run import Run

log = logging.getLogger(__name__)

FIXED = ("seed", "bptt", "k1", "k2", "every", "optimizer")
"""Settings that a resumed run keeps."""


def fit(
    task: Task,
    config: Training,
    run: Run | None = None,
    *,
    resume: bool = False,
    report: Report | None = None,
) -> Result:
    """Train a task; its network then has the best weights.

    Args:
        task: any task, of this library or your own.
        config: how to train it.
        run: the folder to keep it in; ``runs/NAME-N`` with the next free N if None.
        resume: go on from the run's last checkpoint.
        report: called with each event, a dictionary with the key "event": start, train, valid,
            diverged, end. The same events are the lines of metrics.jsonl. Without it, they go to
            the logger "elman.training".

    Raises:
        Diverged: the loss or a gradient is not finite; the last good checkpoint stays.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; all was saved, to be resumed.
        CheckpointError: a checkpoint cannot be written, or does not fit.
        ConfigError: another process trains in this run folder.
        ElmanError: the run folder was deleted or replaced meanwhile.
    """
    if not isinstance(task, Task):
        raise DtypeError(f"expected a task, such as a Supervised of your own, got {kind_of(task)}")
    if run is None:
        train = config.model_dump(mode="json", exclude_none=True)
        settings = {"task": task.name, "format": FORMAT, "train": train}
        run = Run.create_next(Path("runs"), task.name, settings)
    run.claim()
    try:
        trainer = Trainer(task, config, run, report or _logged)
        if resume:
            trainer.restore()
        return trainer.fit()
    finally:
        run.release()


def train(
    config: Config,
    path: Path | None = None,
    *,
    directory: Path = Path("runs"),
    name: str | None = None,
    force: bool = False,
    report: Report | None = None,
) -> Result:
    """Train the task that a configuration describes, in a new run folder.

    Args:
        config: of a class that `config_class` gave.
        path: the run folder; ``directory/name-N`` with the next free N if None.
        directory: where run folders are made.
        name: what the run is called; the task's name if None.
        force: replace the run that is at ``path``, or else at ``directory/name-1``. It stays until
            the data of this one are read and its first checkpoint is written.
        report: called with each event, see `fit`; while data are read also with "reading" events,
            which have the keys what, done and total, in bytes.

    Raises:
        DataError, Diverged, Interrupted, CheckpointError, ElmanError: as reading the data and `fit`
            do.
        ConfigError: the network is larger than this machine, or the run cannot be made.
    """
    check_config(config)
    parts.device(config.train.device)  # before any work
    require_memory(config, training=True)
    called = config.task if name is None else name
    if path is None and force:
        path = directory / f"{named(called)}-1"
    if path is None:
        run = Run.create_next(directory, called, config.toml())
    else:
        run = Run.create(path, config.toml(), force=force)
    try:
        run.claim()
        task = _class(config.task).prepare(config.data, config.model, run.path, percents(report))
        return fit(task, config.train, run, report=report)
    except BaseException:
        run.release()
        if not run.begun:  # nothing was trained: leave nothing behind
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def resume(
    path: Path, changes: Mapping[str, Any] | None = None, *, report: Report | None = None
) -> Result:
    """Go on with a run that was stopped, as if it never had been; on one machine bit for bit.

    Args:
        path: the run folder.
        changes: settings of ``[train]`` to change, such as a larger budget; what the position in
            the data or the saved state depends on cannot change.
        report: called with each event, see `fit`.

    Raises:
        CheckpointError: it is no run folder, or has no whole checkpoint.
        ConfigError: a change that cannot be made.
    """
    run = Run.open(path)
    config = config_of(run)
    run.claim()
    try:
        if changes:
            before, settings = config, {**run.config, "train": {**run.config["train"], **changes}}
            config = config_class(config.task).parse(settings)
            _check_changes(before.train, config.train)
            run.configure(config.toml())
        require_memory(config, training=True)
        run.load("last")  # one that was stopped before its first has nothing to go on from
        task = _class(config.task).restore(path, config.data, config.model)
        return fit(task, config.train, run, resume=True, report=report)
    finally:
        run.release()


def load(
    path: Path | str, which: str = "best", *, device: str = "cpu", task: Task | None = None
) -> Any:
    """A trained task, ready to predict.

    Loading runs no code from the folder, and checks names, shapes and types of all weights.

    Args:
        path: the run folder.
        which: the checkpoint, "best" or "last".
        device: where to predict.
        task: your own task, for a run that `fit` made of one; else the configuration names it.

    Returns:
        The task, with the trained ``network``, in evaluation mode.

    Raises:
        CheckpointError: the folder or the checkpoint cannot be read, or does not fit.
    """
    run = Run.open(path)
    checkpoint = run.load(which)
    if task is None:
        config = config_of(run)
        require_memory(config)
        task = _class(config.task).restore(run.path, config.data, config.model)
    with torch.random.fork_rng():
        task.network = task.build()
    unpack_module(task.network, checkpoint.model, run.where(which, "model"))
    task.network.to(parts.device(device)).eval()
    return task


def evaluate(
    path: Path | str,
    *,
    split: str = "test",
    files: Sequence[Path] | None = None,
    lanes: int | None = None,
    which: str = "best",
    device: str = "cpu",
    task: Task | None = None,
) -> Metrics:
    """Measure a trained task on one of its splits, or on other files.

    Args:
        path: the run folder.
        split: "train", "valid" or "test"; without meaning where files are given.
        files: what to measure on instead.
        lanes: rows of a batch; those of the run if None. A text in 1 lane has one long memory.
        which: the checkpoint, "best" or "last".
        device: where to compute.
        task: your own task, for a run that `fit` made of one.

    Raises:
        CheckpointError, DataError: as `load` and reading the files do.
        ConfigError: files or lanes for a task that reads no files.
    """
    trained = load(path, which, device=device, task=task)
    if isinstance(trained, NamedTask):
        trained = trained.on(files or (), lanes)
    elif files or lanes:
        raise ConfigError(f"{trained.name} reads no files: leave out files and lanes")
    metrics: Metrics = trained.evaluate("test" if files else split)
    return metrics


def _check_changes(before: Training, after: Training) -> None:
    changed = [key for key in FIXED if getattr(before, key, None) != getattr(after, key, None)]
    if changed:
        raise ConfigError(
            f"a run that is resumed keeps its {', '.join(changed)}: its place in the data or its "
            "optimizer's state depends on it; leave it out, or start a new run"
        )


def config_of(run: Run, task: Task | None = None) -> Config:
    """A run's configuration; of a task of one's own what a run keeps of it: how it was trained.

    Args:
        run: the run.
        task: your own task, for a run that `fit` made of one.

    Raises:
        ConfigError: the task is none of elman's, and was not handed over.
    """
    name = str(run.config.get("task", ""))
    if name in dict(TASKS):
        return config_class(name).parse(run.config)
    if task is None:
        raise ConfigError(
            f"{run.path}: a run of {name!r}, a task of your own, whose code a run folder does not "
            f"keep: hand it over in Python, elman.load({str(run.path)!r}, task=...); "
            "elman.training.evaluate, elman.reporting.measure, elman.diagnosis.diagnose and "
            "elman.diagnosis.try_remedies take task= too"
        )
    settings = run.config.get("train", {})
    return own_config_class(name, windows="bptt" in settings).parse({"train": settings})


def _class(name: str) -> type[NamedTask]:
    kind = by_name(name)
    assert issubclass(kind, NamedTask)
    return kind


def _logged(event: dict[str, Any]) -> None:
    """Log the numbers of an event, where nobody is told of it otherwise."""
    fields = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in event.items())
    log.info("%s", ", ".join(fields if event["event"] in ("train", "valid") else list(fields)[:4]))


def percents(report: Report | None) -> Reading | None:
    """Report each percent once, since lines are read by the million."""
    if report is None:
        return None
    last: dict[str, int] = {}

    def reading(what: str, done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if last.get(what) != percent:
            last[what] = percent
            report({"event": "reading", "what": what, "done": done, "total": total})

    return reading
