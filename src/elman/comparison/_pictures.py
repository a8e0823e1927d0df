"""Plots of a comparison: validation curves, final scores, and scores by length."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from statistics import fmean
from typing import TYPE_CHECKING

from elman.comparison._result import Candidate, Comparison
from elman.pictures import COLORS, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES = ("--", ":", "-.", (0, (1, 4)))
WIDE = 20.0
"""Ratio of values above which the axis is logarithmic."""


def drawings(comparison: Comparison) -> Iterator[Picture]:
    """The plots that there is data for."""
    if not comparison.done:
        return
    yield Picture("validation", lambda figure: _validation(comparison, figure))
    yield Picture("final", lambda figure: _final(comparison, figure))
    if comparison.by_length()[0]:
        yield Picture("by_length", lambda figure: _by_length(comparison, figure))


def _validation(comparison: Comparison, figure: Figure) -> None:
    """A thin line per seed, and their mean."""
    axes = figure.subplots()
    for candidate, color in _colored(comparison):
        for run in candidate.runs:
            if run.curve:
                axes.plot(*zip(*run.curve, strict=True), color=color, alpha=0.3, marker=".")
        if mean := _mean_curve(candidate):
            axes.plot(*zip(*mean, strict=True), color=color, lw=2, label=candidate.name)
    values = [value for c in comparison.candidates for run in c.runs for _, value in run.curve]
    _scale(axes, values)
    axes.set(xlabel="update", ylabel=f"validation {comparison.metric.replace('_', ' ')}")
    axes.legend()


def _mean_curve(candidate: Candidate) -> list[tuple[int, float]]:
    """The mean at the updates at which all finished seeds were validated."""
    curves = [dict(run.curve) for run in candidate.done]
    if not curves:
        return []
    common = set.intersection(*(set(curve) for curve in curves))
    return [(at, fmean(curve[at] for curve in curves)) for at in sorted(common)]


def _final(comparison: Comparison, figure: Figure) -> None:
    """A point per seed, their mean and deviation, and a line per baseline."""
    axes, split = figure.subplots(), comparison.splits[-1]
    values = []
    for place, (candidate, color) in enumerate(_colored(comparison)):
        spread = candidate.metric(split, comparison.metric)
        if spread is None:
            continue
        values += spread.values
        axes.plot([place] * len(spread.values), spread.values, "o", color=color, alpha=0.4)
        axes.errorbar(place + 0.15, spread.mean, spread.deviation, fmt="s", color=color, capsize=4)
    for (name, measured), dashes in zip(comparison.baselines.items(), cycle(DASHES)):
        if comparison.metric in measured.get(split, {}):
            values.append(measured[split][comparison.metric])
            label = name.replace("_", " ")
            axes.axhline(values[-1], color="0.4", lw=1, ls=dashes, label=label)
    _scale(axes, values)
    names = [f"{c.name}\n{c.hidden} units\n{c.parameters:,}" for c in comparison.candidates]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylabel(f"{split} {comparison.metric.replace('_', ' ')}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _by_length(comparison: Comparison, figure: Figure) -> None:
    axes = figure.subplots()
    groups, columns = comparison.by_length()
    for candidate, color in _colored(comparison):
        if candidate.name in columns:
            heights = [row[0] for row in columns[candidate.name]]
            axes.plot(groups, heights, marker="o", color=color, label=candidate.name)
    name = next(run.by_length_of for run in comparison.done if run.by_length)
    axes.set(xlabel="steps", ylabel=f"{comparison.splits[-1]} {name.replace('_', ' ')}")
    axes.legend()


def _colored(comparison: Comparison) -> Iterator[tuple[Candidate, str]]:
    for number, candidate in enumerate(comparison.candidates):
        yield candidate, COLORS[number % len(COLORS)]


def _scale(axes: Axes, values: list[float]) -> None:
    if min(values, default=0) > 0 and max(values) > WIDE * min(values):
        axes.set_yscale("log")
