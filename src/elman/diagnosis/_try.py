"""Trials of remedies: each on its own, from the same seed, for the same number of updates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

from elman._errors import ConfigError, Diverged
from elman.diagnosis._finding import Finding, Remedy
from elman.diagnosis._remedies import changed
from elman.tasks import TASKS, Task, by_name
from elman.training import Config, Report, Run, config_of, fit

STEPS = 300
"""Updates of a trial, if the run did not have fewer."""

BUDGET = {"train.max_steps", "train.epochs", "train.patience"}
"""Settings that are the same in all trials; a remedy that changes only these is skipped."""


class Trial(NamedTuple):
    """The result of one trial.

    Attributes:
        code: code of the finding; "" for the unchanged run.
        remedy: the change; None for the unchanged run.
        run: the run folder of the trial.
        metrics: validation metrics of the best checkpoint; empty if the trial diverged.
        score: score of the task, lower is better; None if the trial diverged.
        better: whether the score is lower than without the remedy.
    """

    code: str
    remedy: Remedy | None
    run: Path
    metrics: Mapping[str, float]
    score: float | None
    better: bool


def try_remedies(
    path: Path | str,
    findings: Iterable[Finding],
    *,
    steps: int | None = None,
    task: Task | None = None,
    report: Report | None = None,
) -> list[Trial]:
    """Train briefly without changes, and with each remedy on its own.

    All trials start from the run's seed and have the same number of updates, which a learning rate
    schedule is fitted to. They are kept in ``RUN/doctor`` and replace those of an earlier call; the
    rest of the run is not changed. Remedies without a setting, and those that only change the
    budget, are skipped.

    Args:
        path: the run folder.
        findings: the findings whose remedies to try, see `diagnose`.
        steps: updates per trial; if None, as many as the run had, at most 300.
        task: your own task, see `diagnose`.
        report: called with the events of each training, see `elman.training.fit`.

    Returns: the unchanged run, then each remedy.

    Raises:
        ConfigError: the run has no validation data, or ``steps`` is below 1.
        CheckpointError, DataError: as `elman.training.load` and reading the data do.
    """
    run = Run.open(Path(path))
    config = config_of(run, task)
    took = max((e.get("update", 0) for e in run.events()), default=0)
    budget = min(STEPS, took or STEPS) if steps is None else steps
    if budget < 1:
        raise ConfigError(f"steps must be at least 1, got {budget}")
    control = _trained(run, config, {}, budget, "as-it-is", task, report)
    trials, tested = [control], []
    for finding in findings:
        for remedy in finding.remedies:
            if set(remedy.changes) <= BUDGET or remedy.changes in tested:
                continue
            tested.append(remedy.changes)
            name = f"{len(trials)}-{finding.code.lower()}"
            trial = _trained(run, config, remedy.changes, budget, name, task, report)
            better = _lower(trial.score, control.score)
            trials.append(trial._replace(code=finding.code, remedy=remedy, better=better))
    return trials


def _trained(
    run: Run,
    config: Config,
    changes: Mapping[str, Any],
    steps: int,
    name: str,
    own: Task | None,
    report: Report | None,
) -> Trial:
    short = {**dict.fromkeys(BUDGET), "train.max_steps": steps}
    quiet = {"train.watch": False, "train.tensorboard": False}
    tried = changed(config, {**changes, **short, **quiet})
    folder = Run.create(run.path / "doctor" / name, tried.toml(), force=True)
    task = _task(run, config, tried, folder, own)
    if "valid" not in task.splits:
        raise ConfigError(f"{run.path}: trials need validation data, and this run has none")
    try:
        metrics = fit(task, tried.train, folder, report=report).metrics["valid"]
    except Diverged:
        return Trial("", None, folder.path, {}, None, False)
    return Trial("", None, folder.path, metrics, task.selection.cost(metrics), False)


def _task(run: Run, config: Config, tried: Config, folder: Run, own: Task | None) -> Task:
    """The task of a trial, on the data of the run, or read again if data settings change."""
    name = str(run.config.get("task", ""))
    if name not in dict(TASKS):
        assert own is not None
        return copy(own)
    kind = by_name(name)
    if tried.data == config.data:
        return kind.restore(run.path, tried.data, tried.model)
    return kind.prepare(tried.data, tried.model, folder.path)


def _lower(score: float | None, than: float | None) -> bool:
    """Whether a score is better; None stands for a run that diverged."""
    return score is not None and (than is None or score < than)
