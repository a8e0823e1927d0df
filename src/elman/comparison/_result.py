"""What came of a comparison, as numbers that go into JSON and back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from elman.comparison._verdict import Verdict
from elman.metrics import leading
from elman.tasks._base import Metrics

FORMAT = 1
Rows: TypeAlias = list[list[str | float | int]]


class Outcome(BaseModel):
    """A run that has ended: its metrics, or why it has none.

    ``curve`` has the update and the leading metric of each validation; ``peak_memory`` is in bytes
    and of the whole process, with torch and the data. ``input_steps`` is how many steps a
    network without recurrence sees. ``by_length`` is the task's table of short and long rows,
    whose last column has ``by_length_of``. A run that ``failed`` is tried again.
    """

    seed: int
    status: Literal["done", "diverged", "failed"]
    message: str = ""
    run: str = ""
    seconds: float = 0.0
    peak_memory: int | None = None
    input_steps: int | None = None
    metrics: dict[str, Metrics] = {}
    baselines: dict[str, dict[str, Metrics]] = {}
    curve: list[tuple[int, float]] = []
    by_length: Rows = []
    by_length_of: str = ""


class Spread(BaseModel):
    """Values of several seeds: their mean, and their standard deviation where there are two."""

    values: list[float]
    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None of no values, or where one of them is not finite.

        >>> Spread.of([1.0, 3.0]).deviation
        1.4142135623730951
        """
        sample = list(values)
        if not sample or not all(map(math.isfinite, sample)):
            return None
        deviation = stdev(sample) if len(sample) > 1 else None
        return cls(values=sample, mean=fmean(sample), deviation=deviation)


class Candidate(BaseModel):
    """A cell with its settings: how large it is, and what its runs came to."""

    name: str
    cell: str
    hidden: int
    parameters: int
    runs: list[Outcome] = []

    @property
    def done(self) -> list[Outcome]:
        return [run for run in self.runs if run.status == "done"]

    def metric(self, split: str, name: str) -> Spread | None:
        """A metric over the seeds that came to an end."""
        return Spread.of(run.metrics[split][name] for run in self.done)

    def spread(self, of: Literal["seconds", "peak_memory"]) -> Spread | None:
        """Time or memory over the seeds that came to an end."""
        return Spread.of(value for run in self.done if (value := getattr(run, of)) is not None)


class Comparison(BaseModel):
    """Everything that ``table.json`` holds.

    ``metric`` is the leading one of the task, and the verdict is about it on the last of
    ``splits``. ``target`` is the number of parameters that the candidates were to have, None where
    they have equal hidden sizes.
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
        """The names of runs that are to be tried again."""
        return [
            f"{candidate.name} seed {run.seed}: {run.message}"
            for candidate in self.candidates
            for run in candidate.runs
            if run.status == "failed"
        ]

    def judged(self) -> Comparison:
        """With the metric, the baselines and the verdict that follow from the runs."""
        if not self.done:
            return self
        first = self.done[0]
        splits = list(first.metrics)
        metric, higher = leading(first.metrics[splits[-1]])
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
        """Groups of rows by length, and per candidate the mean of the last column over seeds."""
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
