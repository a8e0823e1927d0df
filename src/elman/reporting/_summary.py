"""What a run came to, in a sentence and as a table beside its baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from elman.metrics import leading

Event = Mapping[str, Any]
Events = Sequence[Event]
Findings = Sequence[Mapping[str, Any]]

MOST_FILES = 3


class Ranking(NamedTuple):
    """How a run measures up: of its last split, by the measure that it is judged by.

    ``models`` are the run itself, under the name "", and its baselines: all their measures.
    """

    split: str
    measure: str
    higher: bool
    models: dict[str, Mapping[str, Any]]

    @classmethod
    def of(cls, events: Events) -> Ranking | None:
        """None where the run did not end, or nothing was held out."""
        end = _last(events, "end")
        if end is None or not end.get("metrics"):
            return None
        split = "test" if "test" in end["metrics"] else list(end["metrics"])[-1]
        own = end["metrics"][split]
        measure, higher = leading(own)
        simple = {name: of[split] for name, of in end.get("baselines", {}).items() if split in of}
        return cls(split, measure, higher, {"": own, **simple})

    @property
    def best_baseline(self) -> str | None:
        """The name of the baseline that is hardest to beat."""
        known = [n for n, of in self.models.items() if n and of.get(self.measure) is not None]
        sign = -1 if self.higher else 1
        return min(known, key=lambda n: float(sign * self.models[n][self.measure]), default=None)

    def ranked(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The best first; last are those without that measure."""
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
    """What was trained, how good it is beside its best baseline, and what was checked.

    >>> model = {"cell": "gru", "hidden": 8, "layers": 1}
    >>> end = {"event": "end", "update": 300, "metrics": {"test": {"accuracy": 0.8}}}
    >>> end["baselines"] = {"most_frequent": {"test": {"accuracy": 0.5}}}
    >>> print(sentence({"task": "tag", "model": model, "data": {"name": "emoji"}}, [end], []))
    A network with 1 gru layer of 8 units, trained for tag on emoji in 300 updates: its accuracy on
    test is 0.8, better than that of its best baseline, most_frequent, 0.5; the doctor found no
    fault.
    """
    return f"{_trained(config, events)}: {_good(events)}; {_examined(findings, checked)}."


def _trained(config: Mapping[str, Any], events: Events) -> str:
    start, end = _last(events, "start"), _last(events, "end")
    where = end or (events[-1] if events else {})
    data = _data(config.get("data", {}))
    updates = where.get("update")
    count = "" if updates is None else f" in {_count(updates, 'update')}"
    epochs = where.get("epoch")
    count += f" ({_count(epochs, 'epoch')})" if epochs else ""
    size = f" ({start['parameters']:,} parameters)" if start and "parameters" in start else ""
    task = config.get("task") or "a task"
    return f"{_network(config)}{size}, trained for {task}{data}{count}"


def _network(config: Mapping[str, Any]) -> str:
    model = config.get("model", {})
    if "cell" not in model:
        return "A network"
    both = " in each direction" if model.get("bidirectional") else ""
    layers = _count(model.get("layers", 1), f"{model['cell']} layer")
    return f"A network with {layers} of {model.get('hidden', '?')} units{both}"


def _data(data: Mapping[str, Any]) -> str:
    if data.get("name"):
        return f" on {data['name']}"
    files = [Path(str(file)).name for file in data.get("train", [])]
    more = f" and {len(files) - MOST_FILES:,} more" if len(files) > MOST_FILES else ""
    return f" on {', '.join(files[:MOST_FILES])}{more}" if files else ""


def _good(events: Events) -> str:
    ranking = Ranking.of(events)
    if ranking is None:
        return "it " + _unfinished(events)
    own = ranking.models[""][ranking.measure]
    measure = ranking.measure.replace("_", " ")
    score = f"its {measure} on {ranking.split} is {_number(own)}"
    name = ranking.best_baseline
    if name is None or own is None:
        return f"{score}, and no baseline was measured"
    simple = ranking.models[name][ranking.measure]
    better = own > simple if ranking.higher else own < simple
    word = "better than" if better else "the same as" if own == simple else "worse than"
    return f"{score}, {word} that of its best baseline, {name}, {_number(simple)}"


def _unfinished(events: Events) -> str:
    if broken := _last(events, "diverged"):
        return f"diverged after update {broken.get('update', 0):,}"
    if _last(events, "end"):
        return "was measured on nothing, since nothing is held out"
    return "has not come to its end"


def _examined(findings: Findings | None, checked: Iterable[str]) -> str:
    if findings is None:
        return "the doctor has not examined it"
    what = ", ".join(checked)
    looked = f", which checked {what}" if what else ""
    if not findings:
        return f"the doctor{looked}, found no fault" if looked else "the doctor found no fault"
    codes = ", ".join(dict.fromkeys(str(finding.get("code", "")) for finding in findings))
    return f"the doctor{looked}, found {codes}" if looked else f"the doctor found {codes}"


def facts(config: Mapping[str, Any], events: Events) -> Iterator[tuple[str, Any]]:
    """What a run is, and how far it came."""
    yield "task", config.get("task", "")
    for name in ("cell", "layers", "hidden", "attention"):
        if name in config.get("model", {}):
            yield name, config["model"][name]
    if start := _last(events, "start"):
        yield from ((name, start[name]) for name in ("parameters", "seed") if name in start)
    if _last(events, "diverged"):
        yield "ended", "diverged"
    best = [e for e in events if e.get("event") == "valid" and e.get("best")]
    if best:
        at = best[-1]
        yield "best validation", f"epoch {at['epoch']}, update {at['update']:,}"
    if end := _last(events, "end"):
        yield "updates", end["update"]
        for split, values in end["metrics"].items():
            yield from ((f"{split} {name}", value) for name, value in values.items())


def _last(events: Events, kind: str) -> Event | None:
    return next((event for event in reversed(events) if event.get("event") == kind), None)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _number(value: Any) -> str:
    return "not known" if value is None else f"{value:.4g}"
