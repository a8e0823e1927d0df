"""Evidence from the log of a run: its losses, clipping, and its score among baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import torch

from elman.diagnosis._evidence import Standing
from elman.inspection import Bad
from elman.metrics import Metric
from elman.tasks import LanguageModel, Metrics, Supervised, Task

Events = Sequence[Mapping[str, Any]]

ROWS, TOKENS = 2_000, 200_000
"""Amount of training data for baselines that the run itself did not measure."""

SHARES = {"accuracy", "macro_f1", "span_f1", "exact_match"}
"""Metrics between 0 and 1, where 1 is perfect."""

_PLACE = {"event", "epoch", "update", "updates", "seconds", "best"}


def of_updates(events: Events) -> tuple[float | None, tuple[float, ...]]:
    """The share of clipped updates and the gradient norms, as far as they were logged."""
    logged = [e for e in events if e["event"] == "train"]
    watched = [e for e in events if e["event"] == "watch"]
    norms = tuple(n for e in watched for n in e["norms"] if n is not None)
    if logged:
        return sum(e["clipped"] for e in logged) / len(logged), norms
    if watched:
        whole = sum(e["clipped"] * len(e["norms"]) for e in watched)
        return whole / max(1, sum(len(e["norms"]) for e in watched)), norms
    return None, norms


def broke(events: Events) -> Bad | None:
    """Where NaN or infinity first arose when the run diverged, as training logged it."""
    place = next((e.get("first_bad") for e in reversed(events) if e["event"] == "diverged"), None)
    if place is None:
        return None
    lists = {key: tuple(value) for key, value in place.items() if isinstance(value, list)}
    return Bad(**{**place, **lists})


def training_losses(events: Events, unit: str) -> tuple[tuple[int, float], ...]:
    lines = (e for e in events if e["event"] == "train" and e.get(unit) is not None)
    return tuple((e["update"], e[unit]) for e in lines)


def validation_losses(task: Task, events: Events) -> tuple[tuple[int, float], ...]:
    """The loss of each validation, or the score if the loss was not measured."""
    lines = [e for e in events if e["event"] == "valid"]
    if any(e.get(task.unit) is None for e in lines):
        return tuple((e["update"], task.selection.cost(_metrics(e))) for e in lines)
    return tuple((e["update"], e[task.unit]) for e in lines)


def standing(task: Task, events: Events) -> Standing | None:
    """The run's best validation compared with its baselines, which are trained now if missing.

    Args:
        task: with the initial weights, which are the baseline of a task that has none.
        events: the events of the run.
    """
    end = next((e for e in reversed(events) if e["event"] == "end"), None)
    own = _metrics((end or {}).get("metrics", {}).get("valid") or _best(events))
    if not own or "train" not in task.splits:
        return None
    models, origin = _valid(end["baselines"] if end else {}, task.metric), ""
    if not models:
        models, origin = _sampled(task)
    if not models:
        models, origin = {"untrained": task.evaluate("valid")}, "the initial weights"
    return compared(task, own, models)._replace(origin=origin)


def compared(task: Task, own: Metrics, models: Mapping[str, Metrics]) -> Standing:
    """The metric of a run compared with that of baselines."""
    metric = task.metric
    if metric.higher_is_better:
        return _of_shares(task, metric.name, own, models)
    mine, simple = _loss(metric, own), {name: _loss(metric, of) for name, of in models.items()}
    best, worst = min(simple, key=simple.__getitem__), max(simple.values())
    margin, gain = ((mine - s) / max(abs(s), 1e-9) for s in (simple[best], worst))
    value = models[best][metric.name]
    return Standing(metric.name, own[metric.name], best, value, margin, gain)


def _loss(metric: Metric, metrics: Metrics) -> float:
    """The metric on the scale of a loss: of the perplexity its logarithm."""
    value = metrics[metric.name]
    return math.log(value) if metric.name == "perplexity" else value


def _of_shares(task: Task, metric: str, own: Metrics, models: Mapping[str, Metrics]) -> Standing:
    whole = 1.0 if metric in SHARES else 100.0
    mine, simple = own[metric], {name: measures[metric] for name, measures in models.items()}
    best, weakest = max(simple, key=simple.__getitem__), min(simple.values())
    (margin, noise), (gain, chance) = (
        _short_of(mine / whole, value / whole, _count(task)) for value in (simple[best], weakest)
    )
    perfect = mine > 0.99 * whole
    return Standing(metric, mine, best, simple[best], margin, gain, noise, chance, perfect)


def _short_of(own: float, simple: float, count: int) -> tuple[float, float]:
    """The difference of two shares relative to the baseline's error, and its standard error."""
    missing = max(1 - simple, 1e-9)
    error = (simple * missing / count) ** 0.5 if count and 0 < simple < 1 else 0.0
    return (simple - own) / missing, error / missing


def _count(task: Task) -> int:
    """The number of terms that a validation metric averages; 0 if unknown."""
    if not isinstance(task, Supervised):
        return 0
    rows = task.part("valid")
    return task.terms(rows, torch.arange(len(rows)))


def _best(events: Events) -> Mapping[str, Any]:
    """The best validation of a run that did not finish."""
    return next((e for e in reversed(events) if e["event"] == "valid" and e["best"]), {})


def _metrics(event: Mapping[str, Any]) -> Metrics:
    """The metrics of an event, where null stands for infinity."""
    named = ((name, value) for name, value in event.items() if name not in _PLACE)
    return {name: math.inf if value is None else value for name, value in named}


def _valid(baselines: Mapping[str, Mapping[str, Metrics]], metric: Metric) -> dict[str, Metrics]:
    """The metrics on validation of the baselines that have this one."""
    measured = {name: of.get("valid", {}) for name, of in baselines.items()}
    return {name: metrics for name, metrics in measured.items() if metric.name in metrics}


def _sampled(task: Task) -> tuple[dict[str, Metrics], str]:
    """Baselines trained on a sample of the training data, to save time."""
    some = copy(task)
    origin = "trained now"
    if isinstance(some, Supervised) and len(some.part("train")) > ROWS:
        draw = torch.randperm(len(some.part("train")), generator=torch.Generator().manual_seed(0))
        some.parts = {**some.parts, "train": some.part("train").select(draw[:ROWS].sort().values)}
        origin = f"trained on {ROWS:,} rows"
    elif isinstance(some, LanguageModel) and len(some.tokens["train"]) > TOKENS:
        some.tokens = {**some.tokens, "train": some.tokens["train"][:TOKENS]}
        origin = f"trained on {TOKENS:,} tokens"
    return _valid(some.baselines(), task.metric), origin
