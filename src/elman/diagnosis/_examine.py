"""``diagnose``: a run's measures, what is wrong by them, and what they cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from elman.diagnosis._finding import Finding
from elman.diagnosis._measure import Stage, measure
from elman.diagnosis._measures import Measures, cut
from elman.diagnosis._rules import findings
from elman.tasks._task import Task


class Examination(NamedTuple):
    """What `diagnose` found.

    Attributes:
        findings: what is wrong: how the run came out, then its causes, the likelier one first.
        checked: what was looked at, and how it came out where nothing is wrong with it.
        unknown: what could not be told, and why.
        measures: what the findings are made of.
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    unknown: tuple[str, ...]
    measures: Measures


def diagnose(
    path: Path | str, *, task: Task | None = None, stage: Stage | None = None
) -> Examination:
    """What is wrong with a run, with the figures that show it and the remedies.

    The gradient through time, gates, units, truncation and the size of the first update are
    measured on a batch of the run's training data, with the weights that it began with, drawn again
    from its seed, and with those of its last checkpoint. The rest is read from its metrics.jsonl.
    Nothing of the run is changed.

    Args:
        path: the run folder.
        task: your own task, for a run that `elman.training.fit` made of one; else the configuration
            names it.
        stage: called with what is done next, since it takes some seconds.

    Raises:
        CheckpointError: it is no run folder, or has no checkpoint.
        ConfigError: its network has no recurrent layer, or no batch has a finite loss.

    Example:
        >>> import tempfile
        >>> from elman.training import config_class, train
        >>> config = config_class("regress").parse(
        ...     {
        ...         "data": {"rows": 90, "steps": 9},
        ...         "model": {"hidden": 4},
        ...         "train": {"max_steps": 2, "lr": 3.0, "schedule": "constant"},
        ...     }
        ... )
        >>> run = train(config, Path(tempfile.mkdtemp(), "run")).run
        >>> finding = next(f for f in diagnose(run.path).findings if f.code == "E-LR")
        >>> finding.code, finding.remedies[1].flags
        ('E-LR', '--train.lr 0.3')
    """
    m = measure(Path(path), task, stage)
    return Examination(findings(m), tuple(_checked(m)), tuple(_unknown(m)), m)


def _checked(m: Measures) -> Iterator[str]:
    if m.standing is not None:
        yield f"the baselines: {m.standing}"
    if m.course.train:
        yield f"the losses that were logged: {len(m.course.train):,} of training"
    if m.course.valid:
        yield f"overfitting: {len(m.course.valid):,} validations"
    yield "values that are not finite, in the weights and in the data that was looked at"
    yield f"the first update: it moves a weight matrix by {m.ratio:.2g} of its size"
    reach = m.last.horizon
    falls = f"falls to 1 % within {reach:.0f} of" if reach < m.steps else "stays above 1 % over"
    yield (
        f"the gradient through time on the {m.rows} longest rows {falls} {m.steps} steps "
        "with the last weights"
    )
    yield f"gates and units: {m.last_use.stuck:.0%} of {m.last_use.where} saturated"
    if m.clipped is not None:
        yield f"clipping: {m.clipped:.0%} of the updates"
    if cut(m.config) and m.bias is not None:
        yield f"truncation: the gradient is off by {m.bias:.0%}"


def _unknown(m: Measures) -> Iterator[str]:
    if not m.watched:
        yield (
            "the run was not watched, so the norms of its own gradients are not known: those of "
            "the last checkpoint stand in for them; train with --watch to have them"
        )
    if m.clipped is None:
        yield "no line of progress was written, so how often clipping acted is not known"
    if m.diverged and m.bad is None and m.broke is None:
        yield (
            "the run diverged, but its last checkpoint and its data are finite: where that arose "
            "is not known"
        )
    if m.standing is None:
        yield (
            "nothing was validated: whether the run learned, whether it overfits, and whether "
            "vanishing gradients are a fault, is not known"
        )
