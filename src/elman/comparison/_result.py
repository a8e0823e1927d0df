"""The results of a comparison, as models that are stored as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from elman.comparison._verdict import Verdict
from elman.tasks import Metrics

FORMAT = 1
Rows: TypeAlias = list[list[str | float | int]]


class Outcome(BaseModel):
    """The outcome of a run: its metrics, or why it has none.

    ``metric`` is the metric of the task; ``curve`` has the update and that metric of each
    validation; ``peak_memory`` is in bytes and covers the whole process, including torch and the
    data. ``input_steps`` is the input length of a network without recurrence. ``by_length`` is the
    task's table of metrics by row length, whose last column is the metric ``by_length_of``. Failed
    runs are trained again on resume.
    """

    seed: int
    status: Literal["done", "diverged", "failed"]
    message: str = ""
    run: str = ""
    seconds: float = 0.0
    peak_memory: int | None = None
    input_steps: int | None = None
    metric: str = ""
    higher_is_better: bool = False
    metrics: dict[str, Metrics] = {}
    baselines: dict[str, dict[str, Metrics]] = {}
    curve: list[tuple[int, float]] = []
    by_length: Rows = []
    by_length_of: str = ""


class Spread(BaseModel):
    """Values of several seeds with their mean and, for two or more, standard deviation."""

    values: list[float]
    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """The spread of values; None if there are none, or one is not finite.

        >>> Spread.of([1.0, 3.0]).deviation
        1.4142135623730951
        """
        sample = list(values)
        if not sample or not all(map(math.isfinite, sample)):
            return None
        deviation = stdev(sample) if len(sample) > 1 else None
        return cls(values=sample, mean=fmean(sample), deviation=deviation)


class Candidate(BaseModel):
    """A cell with its settings: its size and the outcomes of its runs."""

    name: str
    cell: str
    hidden: int
    parameters: int
    runs: list[Outcome] = []

    @property
    def done(self) -> list[Outcome]:
        return [run for run in self.runs if run.status == "done"]

    def metric(self, split: str, name: str) -> Spread | None:
        """A metric over the finished seeds."""
        return Spread.of(run.metrics[split][name] for run in self.done)

    def spread(self, of: Literal["seconds", "peak_memory"]) -> Spread | None:
        """Time or memory over the finished seeds."""
        return Spread.of(value for run in self.done if (value := getattr(run, of)) is not None)


class Comparison(BaseModel):
    """The content of ``table.json``.

    ``metric`` is the metric of the task; the verdict is about it on the last of ``splits``.
    ``target`` is the number of parameters to match, None if hidden sizes are equal instead.
    """

    format: int = FORMAT
    path: Path
    task: str
    equal: Literal["parameters", "hidden"]
    target: int | None
    epochs: int | None
    max_steps: int | None
    seeds: list[int]
    jobs: int
    threads: int
    candidates: list[Candidate]
    metric: str = ""
    higher_is_better: bool = False
    splits: list[str] = []
    baselines: dict[str, dict[str, Metrics]] = {}
    verdict: Verdict | None = None
    pictures: list[Path] = []

    @property
    def done(self) -> list[Outcome]:
        return [run for candidate in self.candidates for run in candidate.done]

    @property
    def failed(self) -> list[str]:
        """The runs that failed, and why."""
        return [
            f"{candidate.name} seed {run.seed}: {run.message}"
            for candidate in self.candidates
            for run in candidate.runs
            if run.status == "failed"
        ]

    def judged(self) -> Comparison:
        """The comparison with the metric, baselines and verdict of its runs."""
        if not self.done:
            return self
        first = self.done[0]
        splits = list(first.metrics)
        metric, higher = first.metric, first.higher_is_better
        values = {
            candidate.name: spread.values if spread else []
            for candidate in self.candidates
            for spread in [candidate.metric(splits[-1], metric)]
        }
        verdict = Verdict.of(values, f"{splits[-1]} {metric}", higher_is_better=higher)
        known: dict[str, Any] = {"baselines": first.baselines, "verdict": verdict}
        named = {"metric": metric, "higher_is_better": higher, "splits": splits}
        return self.model_copy(update={**named, **known})

    def by_length(self) -> tuple[list[str], dict[str, Rows]]:
        """Groups of rows by length, and each candidate's mean metric in them over seeds."""
        groups: list[str] = []
        means: dict[str, Rows] = {}
        for candidate in self.candidates:
            tables = [run.by_length for run in candidate.done if run.by_length]
            if not tables:
                continue
            groups = [str(row[0]) for row in tables[0]]
            columns = zip(*tables, strict=True)
            means[candidate.name] = [[fmean(float(row[-1]) for row in rows)] for rows in columns]
        return groups, means
