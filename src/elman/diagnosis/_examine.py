"""``diagnose``: a run's measures, what is wrong by them, and what they cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from elman.diagnosis._collect import Stage, collect_evidence
from elman.diagnosis._evidence import Evidence, cut
from elman.diagnosis._finding import Finding
from elman.diagnosis._rules import findings
from elman.tasks._base import Task


class Measurement(NamedTuple):
    """One check of a run and its outcome, such as "clipping" and "3% of updates were clipped"."""

    name: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome}"


class Examination(NamedTuple):
    """What `diagnose` returns.

    Attributes:
        findings: the problems: first how the run ended, then its causes, the likeliest first.
        checked: every check that was made, with its outcome.
        unknown: what could not be determined, and why.
        evidence: the measurements that the findings are based on.
    """

    findings: tuple[Finding, ...]
    checked: tuple[Measurement, ...]
    unknown: tuple[str, ...]
    evidence: Evidence


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
    run = collect_evidence(Path(path), task, stage)
    return Examination(findings(run), tuple(_checked(run)), tuple(_unknown(run)), run)


def _checked(run: Evidence) -> Iterator[Measurement]:
    if run.standing is not None:
        yield Measurement("baselines", str(run.standing))
    if run.losses.train:
        yield Measurement("training loss", f"{len(run.losses.train):,} logged values")
    if run.losses.valid:
        yield Measurement("overfitting", f"{len(run.losses.valid):,} validations")
    bad = run.bad or run.broke
    yield Measurement(
        "NaN and infinity", str(bad or "none in the weights or the data that was read")
    )
    moved = f"the first update changes a weight matrix by {run.ratio:.2g} of its norm"
    yield Measurement("learning rate", moved)
    reach = run.last.horizon
    falls = f"falls to 1% within {reach:.0f} of" if reach < run.steps else "stays above 1% over"
    yield Measurement(
        "gradient through time",
        f"{falls} {run.steps} steps (last weights, the {run.rows} longest rows)",
    )
    yield Measurement(
        "saturation", f"{run.last_use.stuck:.0%} of {run.last_use.where} is saturated"
    )
    if run.clipped is not None:
        yield Measurement("clipping", f"{run.clipped:.0%} of the updates were clipped")
    if cut(run.config) and run.bias is not None:
        yield Measurement("truncation", f"the gradient is off by {run.bias:.0%}")


def _unknown(run: Evidence) -> Iterator[str]:
    if not run.watched:
        yield (
            "the run was not watched, so the norms of its own gradients are not known: those of "
            "the last checkpoint stand in for them; train with --watch to have them"
        )
    if run.clipped is None:
        yield "no line of progress was written, so how often clipping acted is not known"
    if run.diverged and run.bad is None and run.broke is None:
        yield (
            "the run diverged, but its last checkpoint and its data are finite: where that arose "
            "is not known"
        )
    if run.standing is None:
        yield (
            "nothing was validated: whether the run learned, whether it overfits, and whether "
            "vanishing gradients are a fault, is not known"
        )
