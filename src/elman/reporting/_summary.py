"""The results of a run, as a sentence and as a ranking among its baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Event = Mapping[str, Any]
Events = Sequence[Event]
Findings = Sequence[Mapping[str, Any]]

MOST_FILES = 3
STARTED = ("parameters", "seed", "device", "threads")


class Ranking(NamedTuple):
    """A run among its baselines on its last split, by the leading metric.

    ``models`` holds all metrics of the run, under the name "", and of its baselines.
    """

    split: str
    measure: str
    higher: bool
    models: dict[str, Mapping[str, Any]]

    @classmethod
    def of(cls, events: Events) -> Ranking | None:
        """The ranking of a run; None if it did not finish or has no validation or test data."""
        start, end = _last(events, "start"), _last(events, "end")
        if start is None or end is None or not end.get("metrics"):
            return None
        split = "test" if "test" in end["metrics"] else list(end["metrics"])[-1]
        own = end["metrics"][split]
        simple = {name: of[split] for name, of in end.get("baselines", {}).items() if split in of}
        return cls(split, start["metric"], start["higher_is_better"], {"": own, **simple})

    @property
    def best_baseline(self) -> str | None:
        """The name of the best baseline."""
        known = [n for n, of in self.models.items() if n and of.get(self.measure) is not None]
        sign = -1 if self.higher else 1
        return min(known, key=lambda n: float(sign * self.models[n][self.measure]), default=None)

    def ranked(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The models, the best first and those without the leading metric last."""
        sign = -1 if self.higher else 1

        def place(model: tuple[str, Mapping[str, Any]]) -> tuple[bool, float]:
            value = model[1].get(self.measure)
            return value is None, 0.0 if value is None else sign * float(value)

        return sorted(self.models.items(), key=place)


def sentence(
    config: Mapping[str, Any],
    events: Events,
    findings: Findings | None = None,
    checked: Iterable[str] = (),
) -> str:
    """What was trained, how it compares with its best baseline, and what the doctor checked.

    >>> model = {"cell": "gru", "hidden": 8, "layers": 1}
    >>> end = {"event": "end", "update": 300, "metrics": {"test": {"accuracy": 0.8}}}
    >>> start = {"event": "start", "metric": "accuracy", "higher_is_better": True}
    >>> end["baselines"] = {"most_frequent": {"test": {"accuracy": 0.5}}}
    >>> config = {"task": "tag", "model": model, "data": {"name": "emoji"}}
    >>> print(sentence(config, [start, end], []))
    1 gru layer of 8 units, trained on emoji (tag) for 300 updates: test accuracy 0.8, better than
    the best baseline (most_frequent, 0.5). The doctor found no problems.
    """
    return f"{_trained(config, events)}: {_good(events)}. {_examined(findings, checked)}."


def _trained(config: Mapping[str, Any], events: Events) -> str:
    start, end = _last(events, "start"), _last(events, "end")
    where = end or (events[-1] if events else {})
    data = _data(config.get("data", {}))
    updates = where.get("update")
    count = "" if updates is None else f" for {_count(updates, 'update')}"
    epochs = where.get("epoch")
    count += f" ({_count(epochs, 'epoch')})" if epochs else ""
    count += f" in {_duration(where['seconds'])}" if end and "seconds" in where else ""
    size = f" ({start['parameters']:,} parameters)" if start and "parameters" in start else ""
    task = config.get("task") or "a custom task"
    subject = f"on {data} ({task})" if data else f"for {task}"
    return f"{_network(config)}{size}, trained {subject}{count}"


def _network(config: Mapping[str, Any]) -> str:
    model = config.get("model", {})
    if "cell" not in model:
        return "A network"
    both = " in each direction" if model.get("bidirectional") else ""
    layers = _count(model.get("layers", 1), f"{model['cell']} layer")
    return f"{layers} of {model.get('hidden', '?')} units{both}"


def _data(data: Mapping[str, Any]) -> str:
    if data.get("name"):
        return str(data["name"])
    files = [Path(str(file)).name for file in data.get("train", [])]
    more = f" and {len(files) - MOST_FILES:,} more" if len(files) > MOST_FILES else ""
    return f"{', '.join(files[:MOST_FILES])}{more}"


def _good(events: Events) -> str:
    ranking = Ranking.of(events)
    if ranking is None:
        return _unfinished(events)
    own = ranking.models[""][ranking.measure]
    measure = ranking.measure.replace("_", " ")
    score = f"{ranking.split} {measure} {_number(own)}"
    name = ranking.best_baseline
    if own is None:
        return score
    if name is None:
        return f"{score}, without a baseline to compare with"
    simple = ranking.models[name][ranking.measure]
    better = own > simple if ranking.higher else own < simple
    word = "better than" if better else "the same as" if own == simple else "worse than"
    return f"{score}, {word} the best baseline ({name}, {_number(simple)})"


def _unfinished(events: Events) -> str:
    if broken := _last(events, "diverged"):
        return f"diverged after update {broken.get('update', 0):,}"
    if _last(events, "end"):
        return "no validation or test data"
    return "not finished"


def _examined(findings: Findings | None, checked: Iterable[str]) -> str:
    if findings is None:
        return "Not diagnosed yet"
    names = ", ".join(checked)
    checks = f" (checked: {names})" if names else ""
    if not findings:
        return f"The doctor found no problems{checks}"
    codes = ", ".join(dict.fromkeys(str(finding.get("code", "")) for finding in findings))
    return f"The doctor found {codes}{checks}"


def facts(config: Mapping[str, Any], events: Events) -> Iterator[tuple[str, Any]]:
    """Facts of a run: task, network, budget and results."""
    yield "task", config.get("task", "")
    for name in ("cell", "layers", "hidden", "attention"):
        if name in config.get("model", {}):
            yield name, config["model"][name]
    if start := _last(events, "start"):
        yield from ((name, start[name]) for name in STARTED if name in start)
    if _last(events, "diverged"):
        yield "ended", "diverged"
    best = [e for e in events if e.get("event") == "valid" and e.get("best")]
    if best:
        at = best[-1]
        yield "best validation", f"epoch {at['epoch']}, update {at['update']:,}"
    if end := _last(events, "end"):
        yield "updates", end["update"]
        if "seconds" in end:
            yield "time", _duration(end["seconds"])
        for split, values in end["metrics"].items():
            yield from ((f"{split} {name}", value) for name, value in values.items())


def _last(events: Events, kind: str) -> Event | None:
    return next((event for event in reversed(events) if event.get("event") == kind), None)


def _duration(seconds: float) -> str:
    """Seconds for people.

    >>> _duration(9.31), _duration(254), _duration(9000)
    ('9.3 s', '4 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _number(value: Any) -> str:
    return "unknown" if value is None else f"{value:.4g}"
