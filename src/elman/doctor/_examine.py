"""``examine``: a run's measures, what is wrong by them, and what they cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from elman.doctor._finding import Finding
from elman.doctor._measure import Measures, measure
from elman.doctor._rules import findings
from elman.tasks._base import NamedTask


class Examination(NamedTuple):
    """What `examine` found.

    Attributes:
        findings: what is wrong, the likelier cause first; none in a healthy run.
        unknown: what could not be told, and why.
        measures: what the findings are made of.
    """

    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]
    measures: Measures


def examine(path: Path | str, *, kind: type[NamedTask] | None = None) -> Examination:
    """What is wrong with a run, with the figures that show it and the remedies.

    The gradient through time, gates, units, truncation and the size of the first update are
    measured on a batch of the run's training data, with the weights that it began with, drawn again
    from its seed, and with those of its last checkpoint. The rest is read from its metrics.jsonl.
    Nothing of the run is changed.

    Args:
        path: the run folder.
        kind: the class of the task, where it is one of your own with a configuration that elman
            knows; else the configuration names it.

    Raises:
        CheckpointError: it is no run folder, or has no checkpoint.
        ConfigError: its network has no recurrent layer, or no batch has a finite loss.

    Example:
        >>> import tempfile
        >>> from elman.train import config_class, train
        >>> config = config_class("regress").parse(
        ...     {
        ...         "data": {"rows": 90, "steps": 9},
        ...         "model": {"hidden": 4},
        ...         "train": {"max_steps": 2, "lr": 3.0, "schedule": "constant"},
        ...     }
        ... )
        >>> run = train(config, Path(tempfile.mkdtemp(), "run")).run
        >>> finding = examine(run.path).findings[0]
        >>> finding.code, finding.remedies[1].flags
        ('E-LR', '--train.lr 0.3')
    """
    m = measure(Path(path), kind)
    return Examination(findings(m), tuple(_unknown(m)), m)


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
    if m.margin is None:
        yield (
            "the run did not end, or has no simple baseline: whether it learned, and so whether "
            "vanishing gradients are a fault, is not known"
        )
