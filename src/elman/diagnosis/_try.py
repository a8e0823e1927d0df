"""Remedies put to the test: each alone, from the same seed, for the same number of updates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

from elman._errors import ConfigError, Diverged
from elman.diagnosis._finding import Finding, Remedy
from elman.diagnosis._remedies import changed
from elman.tasks import TASKS, by_name
from elman.tasks._base import NamedTask, Task
from elman.training import Config, Report, Run, config_of, fit

STEPS = 300
"""Updates of a trial, unless the run itself had fewer."""

BUDGET = {"train.max_steps", "train.epochs", "train.patience"}
"""What is the same in all trials, so that a remedy of these alone cannot be tried."""


class Trial(NamedTuple):
    """What a remedy did.

    Attributes:
        code: the finding that it is a remedy of; "" for the run as it is.
        remedy: the change; None for the run as it is, to compare with.
        run: the run folder of the trial.
        metrics: on the validation data, of the best checkpoint; empty if it diverged.
        score: what the task goes by, lower is better; None if it diverged.
        better: whether that is lower than without the remedy.
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
    """Train a run anew for a short while: as it is, and with each remedy alone.

    All begin from the run's seed and take the same number of updates, over which a schedule is laid
    anew. They are kept in ``RUN/doctor``; those of an earlier call are replaced, and nothing else
    in the run is touched. A remedy without a setting cannot be tried, nor one that only trains
    longer, or not as long.

    Args:
        path: the run folder.
        findings: whose remedies to try, see `diagnose`.
        steps: updates of each; those of the run, at most 300, if None.
        task: your own task, see `diagnose`.
        report: called with the events of each training, see `elman.training.fit`.

    Returns: the run as it is, then each remedy in its order.

    Raises:
        ConfigError: the run has no validation data, or ``steps`` is below 1.
        CheckpointError, DataError: as `elman.training.load` and reading the data do.
    """
    run = Run.open(Path(path))
    config = config_of(run, task)
    took = max((e.get("update", 0) for e in run.events()), default=0)
    budget = min(STEPS, took or STEPS) if steps is None else steps
    if budget < 1:
        raise ConfigError(f"expected at least one update, got {budget}")
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
        raise ConfigError(f"{run.path}: has no validation data to compare remedies on")
    try:
        metrics = fit(task, tried.train, folder, report=report).metrics["valid"]
    except Diverged:
        return Trial("", None, folder.path, {}, None, False)
    return Trial("", None, folder.path, metrics, task.score(metrics), False)


def _task(run: Run, config: Config, tried: Config, folder: Run, own: Task | None) -> Task:
    """What a trial trains: the run's data, or read anew if they are to be read in another way."""
    name = str(run.config.get("task", ""))
    kind = by_name(name) if own is None else type(own)
    if name not in dict(TASKS) or not issubclass(kind, NamedTask):
        assert own is not None
        return copy(own)
    if tried.data == config.data:
        return kind.restore(run.path, tried.data, tried.model)
    return kind.prepare(tried.data, tried.model, folder.path)


def _lower(score: float | None, than: float | None) -> bool:
    """Whether a score is better; a run that diverged has none, and any is better than that."""
    return score is not None and (than is None or score < than)
