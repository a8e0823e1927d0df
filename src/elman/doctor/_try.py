"""Remedies put to the test: each alone, from the same seed, for the same number of updates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from elman._errors import ConfigError, Diverged
from elman.doctor._finding import Finding, Remedy
from elman.doctor._measure import kind_of
from elman.doctor._remedies import changed
from elman.tasks._base import NamedTask
from elman.train import Config, Report, Run, config_class, fit

STEPS = 300
"""Updates of a trial, unless the run itself had fewer."""


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


def attempt(
    path: Path | str,
    found: Iterable[Finding],
    *,
    steps: int | None = None,
    kind: type[NamedTask] | None = None,
    report: Report | None = None,
) -> list[Trial]:
    """Train a run anew for a short while: as it is, and with each remedy alone.

    All begin from the run's seed and take the same number of updates, over which a schedule is laid
    anew. They are kept in ``RUN/doctor``; those of an earlier call are replaced, and nothing else
    in the run is touched. A remedy without a setting cannot be tried.

    Args:
        path: the run folder.
        found: whose remedies to try, see `examine`.
        steps: updates of each; those of the run, at most 300, if None.
        kind: the class of a task of your own, see `examine`.
        report: called with the events of each training, see `elman.train.fit`.

    Returns: the run as it is, then each remedy in its order.

    Raises:
        ConfigError: the run has no validation data, or ``steps`` is below 1.
        CheckpointError, DataError: as `elman.train.load` and reading the data do.
    """
    run = Run.open(Path(path))
    config = config_class(str(run.config.get("task", ""))).parse(run.config)
    took = max((e.get("update", 0) for e in run.events()), default=0)
    budget = min(STEPS, took or STEPS) if steps is None else steps
    if budget < 1:
        raise ConfigError(f"expected at least one update, got {budget}")
    control = _trained(run, config, {}, budget, "as-it-is", kind, report)
    trials, seen = [control], []
    for finding in found:
        for remedy in finding.remedies:
            if not remedy.changes or remedy.changes in seen:
                continue
            seen.append(remedy.changes)
            name = f"{len(trials)}-{finding.code.lower()}"
            trial = _trained(run, config, remedy.changes, budget, name, kind, report)
            better = _lower(trial.score, control.score)
            trials.append(trial._replace(code=finding.code, remedy=remedy, better=better))
    return trials


def _trained(
    run: Run,
    config: Config,
    changes: Mapping[str, Any],
    steps: int,
    name: str,
    kind: type[NamedTask] | None,
    report: Report | None,
) -> Trial:
    short = {"train.max_steps": steps, "train.epochs": None, "train.patience": None}
    quiet = {"train.watch": False, "train.tensorboard": False}
    tried = changed(config, {**changes, **short, **quiet})
    folder = Run.create(run.path / "doctor" / name, tried.toml(), force=True)
    task_class = kind_of(run, kind)
    if tried.data == config.data:
        task = task_class.restore(run.path, tried.data, tried.model)
    else:  # what was learned of the data would be another thing
        task = task_class.prepare(tried.data, tried.model, folder.path)
    if "valid" not in task.splits:
        raise ConfigError(f"{run.path}: has no validation data to compare remedies on")
    try:
        metrics = fit(task, tried.train, folder, report=report).metrics["valid"]
    except Diverged:
        return Trial("", None, folder.path, {}, None, False)
    return Trial("", None, folder.path, metrics, task.score(metrics), False)


def _lower(score: float | None, than: float | None) -> bool:
    """Whether a score is better; a run that diverged has none, and any is better than that."""
    return score is not None and (than is None or score < than)
