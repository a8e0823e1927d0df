"""The training charts: losses, validation metrics, the best epoch and the best baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from elman.metrics import Metric
from elman.reporting._chart import Axis, Chart, LinePanel, PlotLine, StraightLine
from elman.reporting._figures import WIDTH

Events = Sequence[Mapping[str, Any]]
Points = tuple[list[float], list[float]]

FEW = 12
"""Lines with fewer points get a marker at each."""

FURTHER = {"lr": "learning rate", "clipped": "clipped"}
"""Settings of each update, and their titles."""

DASHED = {"training": "--", "largest": "--", "mean": "-."}

SPEED = "_per_second"

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

    curves: dict[str, dict[str, Points]]
    best: tuple[int, int] | None
    baselines: dict[str, tuple[str, float]]

    @classmethod
    def of(cls, events: Events) -> TrainingHistory:
        """The history in the events of a metrics.jsonl."""
        curves: dict[str, dict[str, Points]] = {}
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


def training(runs: Mapping[str, Events]) -> list[Chart]:
    """The chart of training losses, validation metrics and gradient norms.

    >>> training({"a": [{"event": "start"}]})
    []
    """
    histories = {name: TrainingHistory.of(events) for name, events in runs.items()}
    titles = list(dict.fromkeys(t for history in histories.values() for t in history.curves))
    if not titles:
        return []
    further = [title for title in titles if title in FURTHER.values() or title.endswith(SPEED)]
    first = [title for title in titles if title not in further]
    charts = [
        Chart(
            "training",
            "Training",
            "Logged values by update; the training loss is averaged over the updates since the "
            "previous report. The vertical line marks the best validation, whose weights are "
            "kept; dotted lines are the best baseline on the same validation data.",
            [_panel(title, histories) for title in first],
            (WIDTH, 0.5 + 2.1 * len(first)),
        ),
        Chart(
            "training-speed",
            "Learning rate, clipping and speed",
            "Logged values by update. Clipped is the share of updates whose gradient was clipped.",
            [_panel(title, histories) for title in further],
            (WIDTH, 0.5 + 1.6 * len(further)),
        ),
    ]
    return [chart for chart in charts if chart.panels]


def _points(event: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    match event.get("event"):
        case "train":
            for name, value in event.items():
                if name not in NOT_MEASURES:
                    yield name, "training", value
            yield from ((FURTHER[name], "training", event.get(name)) for name in FURTHER)
            yield "gradient norm", "mean", event.get("norm")
        case "valid":
            for name, value in event.items():
                if name not in NOT_MEASURES:
                    yield name, "validation", value
        case "watch" if norms := [norm for norm in event.get("norms", ()) if norm is not None]:
            yield "gradient norm", "median", float(median(norms))
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


def _panel(title: str, histories: Mapping[str, TrainingHistory]) -> LinePanel:
    several = len(histories) > 1
    drawn: list[PlotLine] = []
    rules: list[StraightLine] = []
    for color, (run, history) in enumerate(histories.items()):
        lines = history.curves.get(title, {})
        for name, (x, y) in lines.items():
            mark, dash = "o" if len(x) < FEW else None, DASHED.get(name, "-")
            drawn.append(PlotLine((run if several else "", name), x, y, color, dash, mark))
        if "validation" in lines:
            rules += _beside(history, title, color, run if several else "")
    return LinePanel(Axis("update"), Axis(title.replace("_", " ")), drawn, rules)


def _beside(history: TrainingHistory, title: str, color: int, run: str) -> Iterator[StraightLine]:
    """The best validation and the best baseline."""
    if history.best is not None:
        epoch, update = history.best
        yield StraightLine(update, (run, f"best, epoch {epoch}"), True, color, width=0.8)
    if title in history.baselines:
        model, value = history.baselines[title]
        yield StraightLine(value, (run, model), False, color if run else None, ":", 1.0)
