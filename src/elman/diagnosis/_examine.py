"""``diagnose``: the problems of a run, what was checked, and what is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from elman.diagnosis._collect import Stage, collect_evidence
from elman.diagnosis._evidence import Evidence, cut
from elman.diagnosis._finding import Finding
from elman.diagnosis._rules import findings
from elman.tasks import Task


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
    """Diagnose a run: its problems, the measurements that show them, and remedies.

    The gradient through time, gates, units, truncation and the size of the first update are
    measured on a batch of training data, with the initial weights, drawn again from the seed, and
    with those of the last checkpoint. The rest is read from metrics.jsonl. The run is not changed.

    Args:
        path: the run folder.
        task: your own task, for a run of `elman.training.fit`; otherwise the run names it.
        stage: called with the name of each stage, since a diagnosis takes some seconds.

    Raises:
        CheckpointError: the folder is not a run, or has no checkpoint.
        ConfigError: the network has no recurrent layer, or no batch has a finite loss.

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
        "saturation", f"{run.last_saturation.stuck:.0%} of {run.last_saturation.where} is saturated"
    )
    if run.clipped is not None:
        yield Measurement("clipping", f"{run.clipped:.0%} of the updates were clipped")
    if cut(run.config) and run.bias is not None:
        yield Measurement("truncation", f"the gradient is off by {run.bias:.0%}")


def _unknown(run: Evidence) -> Iterator[str]:
    if not run.watched:
        yield (
            "the run's own gradient norms, which were not recorded (train with --watch): those of "
            "the last checkpoint were measured instead"
        )
    if run.clipped is None:
        yield "how often gradients were clipped: the run logged no progress"
    if run.diverged and run.bad is None and run.broke is None:
        yield ("where the run became NaN or infinite: its last checkpoint and its data are finite")
    if run.standing is None:
        yield (
            "whether the run learned, whether it overfits, and whether vanishing gradients matter: "
            "it has no validation"
        )
