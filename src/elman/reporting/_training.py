"""The training figure: losses, validation metrics, the best epoch and the best baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elman.metrics import Metric
from elman.pictures import COLORS, Picture
from elman.reporting._figures import WIDTH, Figure, add_legend, label_of, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

Events = Sequence[Mapping[str, Any]]
Line = tuple[list[float], list[float]]

FEW = 12
"""Lines with fewer points get a marker at each."""

DASHED = {"training": "--", "largest": "--", "mean": "-."}

NOT_MEASURES = {
    "event", "epoch", "update", "updates", "best", "seconds", "lr", "norm", "clipped",
}  # fmt: skip


class TrainingHistory(NamedTuple):
    """The logged curves of a run.

    Attributes:
        curves: lines by name, for each panel by its title.
        best: the epoch and the update of the best validation; None if there was none.
        baselines: name and validation score of the best baseline, by metric.
    """

    curves: dict[str, dict[str, Line]]
    best: tuple[int, int] | None
    baselines: dict[str, tuple[str, float]]

    @classmethod
    def of(cls, events: Events) -> TrainingHistory:
        """The history in the events of a metrics.jsonl."""
        curves: dict[str, dict[str, Line]] = {}
        best, baselines, metric = None, {}, None
        for event in events:
            for title, name, value in _points(event):
                if isinstance(value, int | float):
                    x, y = curves.setdefault(title, {}).setdefault(name, ([], []))
                    x.append(event["update"])
                    y.append(value)
            if "metric" in event:
                metric = Metric(event["metric"], event["higher_is_better"])
            if event.get("event") == "valid" and event.get("best"):
                best = event["epoch"], event["update"]
            if event.get("event") == "end":
                baselines = _best(event, metric)
        return cls(curves, best, baselines)


def training(runs: Mapping[str, Events]) -> list[Figure]:
    """The figure of training losses, validation metrics and gradient norms.

    >>> training({"a": [{"event": "start"}]})
    []
    """
    histories = {name: TrainingHistory.of(events) for name, events in runs.items()}
    titles = list(dict.fromkeys(t for history in histories.values() for t in history.curves))
    if not titles:
        return []
    size = WIDTH, 0.5 + 2.1 * len(titles)
    return [
        Figure(
            Picture("training", partial(_draw, histories, titles), size),
            "Training",
            "Logged values by update; the training loss is averaged over the updates since the "
            "previous report. The vertical line marks the best validation, whose weights are "
            "kept; dotted lines are the best baseline on the same validation data.",
        )
    ]


def _points(event: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    match event.get("event"):
        case "train":
            for name, value in event.items():
                if name not in NOT_MEASURES and not name.endswith("_per_second"):
                    yield name, "training", value
            yield "gradient norm", "mean", event.get("norm")
        case "valid":
            for name, value in event.items():
                if name not in NOT_MEASURES:
                    yield name, "validation", value
        case "watch" if norms := [norm for norm in event.get("norms", ()) if norm is not None]:
            yield "gradient norm", "median", float(np.median(norms))
            yield "gradient norm", "largest", max(norms)


def _best(end: Mapping[str, Any], metric: Metric | None) -> dict[str, tuple[str, float]]:
    """The best baseline, by the metric of the task, and its value of each metric."""
    measured = {name: of["valid"] for name, of in end.get("baselines", {}).items() if "valid" in of}
    if metric is None:
        return {}
    known = {n: of for n, of in measured.items() if isinstance(of.get(metric.name), int | float)}
    if not known:
        return {}
    best = min(known, key=lambda name: metric.cost(known[name]))
    values = known[best].items()
    return {name: (best, value) for name, value in values if isinstance(value, int | float)}


def _draw(histories: Mapping[str, TrainingHistory], titles: Sequence[str], sheet: Sheet) -> None:
    panels = np.atleast_1d(sheet.subplots(len(titles), sharex=True))
    several = len(histories) > 1
    for axes, title in zip(panels, titles, strict=True):
        for color, (run, history) in zip(cycle(COLORS), histories.items(), strict=False):
            lines = history.curves.get(title, {})
            for name, line in lines.items():
                label = label_of(run if several else "", name)
                mark, dash = "o" if len(line[0]) < FEW else None, DASHED.get(name, "-")
                axes.plot(*line, color=color, linestyle=dash, marker=mark, ms=3, label=label)
            if "validation" in lines:
                _beside(axes, history, title, color, run if several else "")
        axes.set_ylabel(plain(title.replace("_", " ")))
        add_legend(axes)
    panels[-1].set_xlabel("update")


def _beside(axes: Axes, history: TrainingHistory, title: str, color: str, run: str) -> None:
    """Mark the best validation and the best baseline."""
    if history.best is not None:
        label = label_of(run, f"best, epoch {history.best[0]}")
        axes.axvline(history.best[1], color=color, linewidth=0.8, alpha=0.7, label=label)
    if title in history.baselines:
        model, value = history.baselines[title]
        shade = color if run else "#000000"
        axes.axhline(value, color=shade, linewidth=1, linestyle=":", label=label_of(run, model))
