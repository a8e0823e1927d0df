"""Asks of the run view: what a run logged, what its network does with a text, what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from elman._errors import ConfigError, nearest
from elman.lab._lesson import Ask
from elman.lab._live import Live
from elman.lab._protocol import Event, thinned
from elman.lab._runs import folder_of, is_live, read_events

if TYPE_CHECKING:
    from torch import Tensor

    from elman.diagnosis import Finding, Trial
    from elman.inspection import Track
    from elman.lab._asks import Place
    from elman.tasks import Excerpt

STEPS, UNITS, NEXT = 64, 24, 10
"""Steps and units of a map, and words that are likely next."""
SEARCHED, PLACES, AROUND = 64, 10, 6
"""Validation rows in which a unit is searched, its highest places, and words before and after."""
FOLLOW = "run.follow"
"""The ask that the server answers itself, since it may take as long as a training."""


class RunSettings(BaseModel):
    """Which run."""

    model_config = ConfigDict(extra="forbid")

    run: str = Field(min_length=1, max_length=1000, description="name of the run")


class LookSettings(RunSettings):
    """A text to look at the network with."""

    text: str = Field("", max_length=2000, description="what it reads; validation data if empty")


class UnitSettings(RunSettings):
    """A unit of a layer."""

    layer: str = Field(max_length=200, description="name of the layer")
    what: str = Field(max_length=80, description="a state or a gate of its cell, such as h")
    unit: int = Field(ge=0, lt=2**31, description="number of the unit")


class TrySettings(RunSettings):
    """A finding whose remedies are tried."""

    finding: str = Field(max_length=40, description="code of the finding, such as E-VANISH")
    steps: int = Field(100, ge=1, le=300, description="updates of a trial")


def asks(place: Place) -> tuple[Ask, ...]:
    """The asks of the run view."""
    return (
        Ask("run.open", RunSettings, partial(opened, place=place)),
        Ask("run.look", LookSettings, partial(looked, place=place)),
        Ask("run.unit", UnitSettings, partial(unit_places, place=place)),
        Ask("run.doctor", RunSettings, partial(examined, place=place)),
        Ask("run.try", TrySettings, partial(tried, place=place)),
        Ask(FOLLOW, RunSettings, partial(opened, place=place)),
    )


def opened(settings: RunSettings, place: Place) -> Iterator[Event]:
    """What the run's files say: "summary", "curves", and "flow" if it was measured."""
    from elman.reporting import Measures, sentence
    from elman.training import read_config

    path = folder_of(settings.run, place)
    config, events = read_config(path), read_events(path)
    last = {event["event"]: event for event in events}
    start, end = last.get("start", {}), last.get("end", {})
    yield {
        "event": "summary",
        "run": settings.run,
        "path": str(path),
        "sentence": sentence(config, events),
        "live": is_live(path, events),
        "task": config.get("task", ""),
        "config": _flat(config),
        "metric": start.get("metric"),
        "higher_is_better": start.get("higher_is_better"),
        "parameters": start.get("parameters"),
        "metrics": end.get("metrics", {}),
        "baselines": end.get("baselines", {}),
    }
    yield {"event": "curves", "panels": curves(events)}
    measures = Measures.load(path)
    if measures is not None:
        layers = [thinned(layer.model_dump(mode="json")) for layer in measures.layers]
        yield {"event": "flow", "steps": measures.steps, "rows": measures.rows, "layers": layers}


def _flat(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a run by their dotted keys, as text."""
    flat: dict[str, str] = {}
    for section, values in config.items():
        if isinstance(values, Mapping):
            flat |= {f"{section}.{key}": str(value) for key, value in values.items()}
        else:
            flat[section] = str(values)
    return flat


NOT_CURVES = {"event", "epoch", "update", "updates", "best", "seconds", "clipped"}


def curves(events: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The panels of a run's charts: of each a title and its lines, which have x and y."""
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for event in events:
        for title, name, value in _points(event):
            if isinstance(value, int | float) and not isinstance(value, bool):
                x, y = panels.setdefault(title, {}).setdefault(name, ([], []))
                x.append(event["update"])
                y.append(float(value))
    return [
        {
            "title": title,
            "series": [thinned({"name": n, "x": x, "y": y}) for n, (x, y) in lines.items()],
        }
        for title, lines in panels.items()
    ]


def _points(event: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """The points of an event: a panel, a line and a value."""
    names = {"norm": "gradient norm", "lr": "learning rate"}
    match event["event"]:
        case "train":
            for key, value in event.items():
                if key.endswith("_per_second"):
                    yield "throughput", key.replace("_", " "), value
                elif key not in NOT_CURVES:
                    yield names.get(key, key), "training" if key not in names else key, value
            yield "clipped updates", "share", event.get("clipped")
        case "valid":
            for key, value in event.items():
                if key not in NOT_CURVES:
                    yield key, "validation", value


_loaded: dict[tuple[Path, float], Any] = {}


@contextmanager
def _own(place: Place) -> Iterator[None]:
    """Inside the block a run may have the lab's own cell."""
    from elman.cells import provide, resolve

    with provide(*([resolve(place.cell)] if place.cell else [])):
        yield


def _model(path: Path, place: Place) -> Any:
    """The trained task, which is kept until its checkpoint changes."""
    from elman.training import load

    which = "best" if (path / "checkpoints" / "best").exists() else "last"
    file = path / "checkpoints" / which
    key = path, file.stat().st_mtime if file.exists() else 0.0
    if key not in _loaded:
        with _own(place):
            task = load(path, which)
        _loaded.clear()
        _loaded[key] = task
    return _loaded[key]


def looked(settings: LookSettings, place: Place) -> Iterator[Event]:
    """What the network does with a text: "tokens", a "layer" each, and "next" or "answer"."""
    import torch

    from elman.inspection import record_activations
    from elman.tasks import LanguageModel

    task = _model(folder_of(settings.run, place), place)
    text = settings.text or None
    excerpt = task.excerpt(1, text)
    words = {name: list(each)[:STEPS] for name, each in excerpt.first.items()}
    yield {"event": "tokens", "tokens": next(iter(words.values()), []), "by_layer": words}
    for name, track in record_activations(task, excerpt.batch).layers().items():
        yield _layer(name, track)
    with torch.no_grad():
        if isinstance(task, LanguageModel):
            prompt = settings.text or " ".join(next(iter(words.values()), [])[:8])
            likely = task.next_words(prompt, NEXT)
            unknown = task.vocabulary.unknown(prompt)
            yield {
                "event": "next",
                "prompt": prompt,
                "unknown": unknown[:STEPS],
                "words": [{"word": word, "probability": p} for word, p in likely],
            }
        elif text is not None and hasattr(task, "row_of"):
            (answer,) = task.answers([task.row_of(text)])
            yield {"event": "answer", "answer": thinned(_plain(answer))}


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case str() | int() | float() | None:
            return value
    return str(value)


def _layer(name: str, track: Track) -> Event:
    """The maps of a layer: of each gate and state a row a step, of the units that change most."""
    states = track.cell.states
    values = {
        n: each[:STEPS, 0].float() for n, each in track.activations.items() if each.dim() == 3
    }
    whole = values[states[0]]
    order = whole.std(0, correction=0).argsort(descending=True, stable=True)
    units = order[:UNITS].sort().values
    maps = {
        n: [[round(v, 4) for v in step] for step in each[:, units].tolist()]
        for n, each in values.items()
        if each.shape[1] == whole.shape[1]
    }
    gates = [n for n in maps if n not in states]
    return {
        "event": "layer",
        "name": name,
        "cell": type(track.cell).__name__,
        "units": units.tolist(),
        "states": [n for n in maps if n in states],
        "gates": gates,
        "means": {n: values[n].mean(1).tolist() for n in gates},
        "maps": maps,
    }


def unit_places(settings: UnitSettings, place: Place) -> Iterator[Event]:
    """Where in the validation data a unit is highest: the event "places", highest first.

    Each has its ``value``, the ``row`` and the ``step`` from 1 on, and the ``word`` there with the
    words ``before`` and ``after``, if steps have words.
    """
    from elman.inspection import record_activations

    task = _model(folder_of(settings.run, place), place)
    excerpt = task.excerpt(SEARCHED)
    layers = record_activations(task, excerpt.batch).layers()
    track = layers.get(settings.layer)
    if track is None:
        raise ConfigError(f"layer: no layer {settings.layer!r}: {nearest(settings.layer, layers)}")
    units = track.activations.get(settings.what)
    if units is None or units.dim() != 3:
        known = track.activations
        raise ConfigError(f"what: no {settings.what!r} here: {nearest(settings.what, known)}")
    if settings.unit >= units.shape[2]:
        raise ConfigError(f"unit: expected one below {units.shape[2]}, got {settings.unit}")
    values = units[:, :, settings.unit].float().masked_fill(~track.active, -math.inf)
    yield {
        "event": "places",
        "rows": track.rows,
        "places": _highest(values, excerpt, settings.layer),
    }


def _highest(values: Tensor, excerpt: Excerpt, layer: str) -> list[Event]:
    """The places of the largest values, (time, row)."""
    top = values.flatten().topk(min(PLACES, values.numel()))
    places: list[Event] = []
    for value, index in zip(top.values.tolist(), top.indices.tolist(), strict=True):
        step, row = divmod(index, values.shape[1])
        words: Sequence[str] = ()
        if len(excerpt.words) == values.shape[1]:
            words = next((w for n, w in excerpt.words[row].items() if layer.startswith(n)), ())
        named = step < len(words)
        places.append(
            {
                "value": value,
                "row": row + 1,
                "step": step + 1,
                "before": " ".join(words[max(0, step - AROUND) : step]) if named else "",
                "word": words[step] if named else f"step {step + 1}",
                "after": " ".join(words[step + 1 : step + 1 + AROUND]),
            }
        )
    return [each for each in places if each["value"] != -math.inf]


def examined(settings: RunSettings, place: Place) -> Live:
    """The doctor's stages as "stage", each "finding", and "examined" with what was checked."""
    path = folder_of(settings.run, place)

    def work(report: Callable[[Event], None]) -> None:
        from elman.diagnosis import diagnose

        with _own(place):
            found = diagnose(path, stage=lambda name: report({"event": "stage", "name": name}))
        for finding in found.findings:
            report(_finding(finding))
        report(
            {
                "event": "examined",
                "checked": [check._asdict() for check in found.checked],
                "unknown": list(found.unknown),
            }
        )

    return Live(work)


def _finding(finding: Finding) -> Event:
    remedies = [
        {"what": r.what, "flags": r.flags, "without": list(r.without), "reference": r.reference}
        for r in finding.remedies
    ]
    return {
        "event": "finding",
        "code": finding.code,
        "problem": finding.problem,
        "figure": finding.figure,
        "value": finding.value,
        "limit": finding.limit,
        "remedies": remedies,
    }


def tried(settings: TrySettings, place: Place) -> Live:
    """The remedies of a finding, each trained briefly: "training", and a "trial" each."""
    path = folder_of(settings.run, place)

    def work(report: Callable[[Event], None]) -> None:
        from elman.diagnosis import diagnose, try_remedies

        def progress(event: Mapping[str, Any]) -> None:
            if event["event"] in ("train", "valid"):
                report({**thinned(dict(event)), "event": "training", "of_event": event["event"]})

        with _own(place):
            report({"event": "stage", "name": "diagnosing again"})
            findings = [f for f in diagnose(path).findings if f.code == settings.finding]
            if not findings:
                raise ConfigError(
                    f"finding: the doctor does not find {settings.finding} in this run"
                )
            trials = try_remedies(path, findings, steps=settings.steps, report=progress)
        for trial in trials:
            report(_trial(trial))

    return Live(work)


def _trial(trial: Trial) -> Event:
    return {
        "event": "trial",
        "code": trial.code,
        "remedy": trial.remedy.what if trial.remedy else "",
        "flags": trial.remedy.flags if trial.remedy else "",
        "metrics": dict(trial.metrics),
        "score": trial.score,
        "better": trial.better,
        "panels": curves(read_events(trial.run)),
    }
