"""Train from a configuration or a task, resume, load and evaluate runs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from elman._errors import ConfigError, DtypeError, kind_of
from elman._folders import check_run_name
from elman.cells import Cell, provide
from elman.cells import by_name as cell_by_name
from elman.cells.references import is_own
from elman.engine import explain
from elman.layers import Recurrent
from elman.tasks import TASKS, Metrics, Reading, Task, by_name, cell_options
from elman.training import cell_file, parts
from elman.training._checkpoint import unpack_module
from elman.training._config import (
    FORMAT,
    Config,
    Training,
    check_config,
    config_class,
    own_config_class,
)
from elman.training._loop import Report, Result, Trainer
from elman.training._memory import require_memory
from elman.training._run import Run

log = logging.getLogger(__name__)

FIXED = ("seed", "bptt", "k1", "k2", "every", "optimizer")
"""Settings that cannot change when a run is resumed."""


def fit(
    task: Task,
    config: Training,
    run: Run | None = None,
    *,
    resume: bool = False,
    pause_after: int | None = None,
    report: Report | None = None,
) -> Result:
    """Train a task; afterwards its network has the best weights.

    Args:
        task: a task of this library or your own.
        config: the training settings.
        run: the run folder; if None, ``runs/NAME-N`` with the next free N.
        resume: continue from the last checkpoint of the run.
        pause_after: so many updates from now on, the run logs, validates and saves, and is
            interrupted as by Ctrl-C; None for no pause. Its validation counts as the others do,
            for early stopping and the best checkpoint.
        report: called with each event, a dictionary with the key "event": start, train, valid,
            diverged, end. The same events are the lines of metrics.jsonl. If None, they are logged
            to "elman.training".

    Raises:
        Diverged: the loss or a gradient is not finite; the last good checkpoint is kept.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP, or the pause; the run was saved and can be resumed.
        CheckpointError: a checkpoint cannot be written, or does not match.
        ConfigError: another process trains in this run folder.
        ElmanError: the run folder was deleted or replaced during training.
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
        if pause_after is not None:
            trainer.pause = trainer.at.update + pause_after
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
        config: a configuration from `config_class`.
        path: the run folder; if None, ``directory/name-N`` with the next free N.
        directory: parent of new run folders.
        name: name of the run; the task if None.
        force: replace the run at ``path``, or else at ``directory/name-1``. It is kept until the
            new run has read its data and written its first checkpoint.
        report: called with each event, see `fit`, and with "reading" events while data are read,
            which have the keys what, done and total, in bytes.

    Raises:
        DataError, Diverged, Interrupted, CheckpointError, ElmanError: from reading data and `fit`.
        ConfigError: the network does not fit into memory, or the run cannot be created.
    """
    check_config(config)
    parts.device(config.train.device)  # before any work
    require_memory(config, training=True)
    called = config.task if name is None else name
    if path is None and force:
        path = directory / f"{check_run_name(called)}-1"
    if path is None:
        run = Run.create_next(directory, called, config.toml())
    else:
        run = Run.create(path, config.toml(), force=force)
    try:
        run.claim()
        cell_file.save(run.path, config.model)
        log_engine(config.model)
        task = by_name(config.task).prepare(
            config.data, config.model, run.path, reading_progress(report)
        )
        return fit(task, config.train, run, report=report)
    except BaseException:
        run.release()
        if not run.begun:  # nothing was trained, so leave no folder
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def resume(
    path: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    cells: Sequence[type[Cell]] = (),
    report: Report | None = None,
) -> Result:
    """Continue an interrupted run; on the same machine the result is the same bit for bit.

    Args:
        path: the run folder.
        changes: settings of ``[train]`` to change, such as a larger budget; settings that the
            position in the data or the saved state depends on cannot change.
        cells: your own cells, see `load`.
        report: called with each event, see `fit`.

    Raises:
        CheckpointError: the folder is not a run, or has no complete checkpoint.
        ConfigError: a setting that cannot change.
    """
    run = Run.open(path)
    with provide(*cells):
        config = config_of(run)
        run.claim()
        try:
            if changes:
                settings = {**run.config, "train": {**run.config["train"], **changes}}
                before, config = config, config_class(config.task).parse(settings)
                _check_changes(before.train, config.train)
                run.configure(config.toml())
            require_memory(config, training=True)
            cell_file.warn_of_changes(path, config.model)
            run.load("last")  # fails if it was stopped before its first checkpoint
            task = by_name(config.task).restore(path, config.data, config.model)
            return fit(task, config.train, run, resume=True, report=report)
        finally:
            run.release()


def load(
    path: Path | str,
    which: str = "best",
    *,
    device: str = "cpu",
    task: Task | None = None,
    cells: Sequence[type[Cell]] = (),
) -> Any:
    """Load a trained task, ready to predict.

    Loading runs no code from the folder, and checks names, shapes and dtypes of all weights.

    Args:
        path: the run folder.
        which: the checkpoint, "best" or "last".
        device: the device to predict on.
        task: your own task, for a run of `fit`; otherwise the run names it.
        cells: your own cells, among them that of the run, which is found by the name of its class;
            the file that the run names is not executed. Inside a block of `elman.cells.provide`
            they need not be repeated.

    Returns:
        The task, with the trained ``network``, in evaluation mode.

    Raises:
        CheckpointError: the folder or the checkpoint cannot be read, or does not match.
        ConfigError: the run's cell does not come with elman, and is not among ``cells``.
    """
    run = Run.open(path)
    checkpoint = run.load(which)
    with provide(*cells), torch.random.fork_rng():
        if task is None:
            config = config_of(run)
            require_memory(config)
            cell_file.warn_of_changes(run.path, config.model)
            task = by_name(config.task).restore(run.path, config.data, config.model)
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
    cells: Sequence[type[Cell]] = (),
) -> Metrics:
    """Evaluate a trained task on one of its splits, or on other files.

    Args:
        path: the run folder.
        split: "train", "valid" or "test"; ignored if there are files.
        files: files to evaluate on instead.
        lanes: batch size; that of the run if None. With 1, a text is read from start to end.
        which: the checkpoint, "best" or "last".
        device: the device to compute on.
        task: your own task, for a run of `fit`.
        cells: your own cells, see `load`.

    Raises:
        CheckpointError, DataError: from `load` and reading the files.
        ConfigError: files or lanes for a task that does not read files.
    """
    trained = load(path, which, device=device, task=task, cells=cells)
    trained = trained.with_data(files or (), lanes)
    metrics: Metrics = trained.evaluate("test" if files else split)
    return metrics


def _check_changes(before: Training, after: Training) -> None:
    changed = [key for key in FIXED if getattr(before, key, None) != getattr(after, key, None)]
    if changed:
        raise ConfigError(
            f"a resumed run keeps its {', '.join(changed)}, since its position in the data or its "
            "optimizer state depends on it: leave it out, or start a new run"
        )


def config_of(run: Run, task: Task | None = None) -> Config:
    """The configuration of a run; for a custom task only its training settings.

    Args:
        run: the run.
        task: your own task, for a run of `fit`.

    Raises:
        ConfigError: the run is of a custom task, and ``task`` is None.
    """
    name = str(run.config.get("task", ""))
    if name in dict(TASKS):
        return config_class(name).parse(run.config)
    if task is None:
        raise ConfigError(
            f"{run.path}: {name!r} is a custom task, whose code is not in the run folder: pass the "
            f"task in Python, elman.load({str(run.path)!r}, task=...); elman.training.evaluate, "
            "elman.reporting.measure, elman.diagnosis.diagnose and elman.diagnosis.try_remedies "
            "take task=, too"
        )
    settings = run.config.get("train", {})
    return own_config_class(name, windows="bptt" in settings).parse({"train": settings})


def log_engine(model: Any) -> None:
    """Log why the user's own cell runs on the reference, if it does: training is slower then."""
    reference = getattr(model, "cell", None)
    if not isinstance(reference, str) or not is_own(reference):
        return
    with torch.random.fork_rng(devices=()):
        cell = cell_by_name(reference)(8, 16, **cell_options(model))
        layer = Recurrent(cell, engine=model.engine)
        (choice,) = explain(layer, torch.zeros(2, 3, 8)).choices
    if choice.engine != "native" and model.engine == "auto":
        reason = dict(choice.why_not)["native"]
        log.warning("%s runs on %s, not on native: %s", reference, choice.engine, reason)


def _logged(event: dict[str, Any]) -> None:
    """Log an event, if there is no other report."""
    fields = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in event.items())
    log.info("%s", ", ".join(fields if event["event"] in ("train", "valid") else list(fields)[:4]))


def reading_progress(report: Report | None) -> Reading | None:
    """A function that reports each percent of reading once."""
    if report is None:
        return None
    last: dict[str, int] = {}

    def reading(what: str, done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if last.get(what) != percent:
            last[what] = percent
            report({"event": "reading", "what": what, "done": done, "total": total})

    return reading
