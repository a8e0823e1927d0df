"""Lesson 12: the three limits of recurrent networks, measured, and what cures each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from elman.tasks import Translate

RUNS = {"none": Path(__file__).parent / "none", "attention": Path(__file__).parent / "luong"}
"""Spelling to phonemes, without attention and with it; ``scripts/lab_weights`` has the commands."""

Memory = tuple[str, dict[str, Any], str | None, str]

CELLS: Mapping[str, Memory] = {
    "rnn": ("Elman", {}, None, "h"),
    "lstm": ("LSTM", {}, None, "c"),
    "gru": ("GRU", {}, None, "h"),
    "irnn": ("Elman", {"activation": "relu"}, "identity", "h"),
    "chrono": ("LSTM", {}, "chrono", "c"),
    "cornn": ("CoRNN", {}, None, "z"),
    "lru": ("LRU", {}, None, "re"),
    "linoss": ("LinOSS", {}, None, "y"),
}
"""A cell, its options, its initialization, and the state that it remembers in."""

FRACTION, ROWS, FEATURES = 0.01, 4, 8
LENGTHS, SLOW = (32, 64, 128, 256, 512, 1024), 0.8
"""Steps of the calls that are timed, and seconds after which a longer one is not tried."""


class Bottleneck(BaseModel, extra="forbid"):
    """Nothing to choose: the shipped words of the test set, by their length."""


class Say(BaseModel, extra="forbid"):
    """A word to pronounce."""

    word: str = Field("representation", pattern=r"^[A-Za-z'.\-]{1,20}$")


class Speed(BaseModel, extra="forbid"):
    """How large the layers are that are timed."""

    hidden: int = Field(64, ge=8, le=128)


class Horizon(BaseModel, extra="forbid"):
    """A cell as it begins, before any training, over so many steps."""

    cell: Literal["rnn", "lstm", "gru", "irnn", "chrono", "cornn", "lru", "linoss"] = "rnn"
    steps: int = Field(200, ge=20, le=200)
    hidden: int = Field(32, ge=4, le=64)
    seed: int = Field(0, ge=0, le=2**31 - 1)


@lru_cache(maxsize=2)
def model(which: str) -> Translate:
    """One of the two networks of the lesson, loaded as any run is."""
    import elman

    loaded: Translate = elman.load(RUNS[which])
    return loaded


@lru_cache(maxsize=1)
def words() -> Mapping[str, tuple[str, ...]]:
    """Words of the test set, which neither network has learned, with all their pronunciations."""
    lines = (Path(__file__).parent / "words.tsv").read_text(encoding="utf-8").splitlines()
    return {word: tuple(spoken) for word, *spoken in (line.split("\t") for line in lines)}


@lru_cache(maxsize=2)
def said_of_all(which: str) -> tuple[str, ...]:
    """What a network says of each of the words."""
    task = model(which)
    rows = task.input_rows([task.source_text.row_of(word) for word in words()])
    return tuple(answer["translation"] for answer in task.answer(rows))


def bottleneck(settings: Bottleneck) -> Iterator[dict[str, object]]:  # noqa: ARG001 - it has none
    """The phoneme errors of both networks by the length of the word."""
    from elman.metrics import error_rate

    known = words()
    groups: dict[int, list[int]] = {}
    for place, word in enumerate(known):
        groups.setdefault(len(word), []).append(place)
    variants = [[text.split() for text in texts] for texts in known.values()]
    errors = {
        which: [
            error_rate([said_of_all(which)[p].split() for p in group], [variants[p] for p in group])
            for group in groups.values()
        ]
        for which in RUNS
    }
    cured = [
        word
        for place, (word, texts) in enumerate(known.items())
        if said_of_all("attention")[place] in texts and said_of_all("none")[place] not in texts
    ]
    yield {
        "event": "bottleneck",
        "lengths": list(groups),
        "counts": [len(group) for group in groups.values()],
        "errors": errors,
        "cured": sorted(cured, key=len, reverse=True)[:12],
    }


def say(settings: Say) -> Iterator[dict[str, object]]:
    """A word as both networks say it, and where the one with attention looked: a row a phoneme."""
    word = settings.word.lower()
    right = words().get(word)
    said = {}
    for which in RUNS:
        task = model(which)
        row = task.input_rows([task.source_text.row_of(word)])
        said[which] = task.answer(row)[0]["translation"]
        if which == "attention":
            [[best, *_]] = task.translations(row)
            alignment = task.alignment(row, best)
    assert alignment is not None
    yield {
        "event": "said",
        "word": word,
        "letters": list(alignment.source),
        "phonemes": list(alignment.target),
        "said": said,
        "dictionary": list(right) if right else None,
    }
    for phoneme, weights in enumerate(alignment.weights.tolist()):
        yield {"event": "attended", "phoneme": phoneme, "weights": weights}


def speed(settings: Speed) -> Iterator[dict[str, object]]:
    """Milliseconds of a call by its number of steps: step by step, at once, without recurrence."""
    import torch

    from elman import Recurrent, cells

    size = settings.hidden
    calls: dict[str, Any] = {
        "LSTM, step by step": Recurrent(cells.LSTM(size, size), engine="reference"),
        "minGRU, step by step": Recurrent(cells.MinGRU(size, size), engine="reference"),
        "minGRU, all steps at once": Recurrent(cells.MinGRU(size, size), engine="parallel"),
        "a matrix product, no recurrence": torch.nn.Linear(size, 3 * size),
    }
    slow: set[str] = set()
    for steps in LENGTHS:
        x = torch.randn(1, steps, size, generator=torch.Generator().manual_seed(0))
        times = {
            name: None if name in slow else _milliseconds(call, x) for name, call in calls.items()
        }
        slow |= {name for name, time in times.items() if time and time > 1000 * SLOW}
        yield {"event": "timed", "steps": steps, "times": times}


def _milliseconds(call: Any, x: Any) -> float:
    """The quickest of five calls, or of fewer where they are slow."""
    import time

    import torch

    best = math.inf
    with torch.no_grad():
        for _ in range(5):
            begin = time.perf_counter()
            call(x)
            best = min(best, time.perf_counter() - begin)
            if best > SLOW:
                break
    return 1000 * best


def horizon(settings: Horizon) -> Iterator[dict[str, object]]:
    """How far back the gradient of the memory reaches: by steps, and the first below 1 %."""
    import torch

    from elman import Recurrent, cells
    from elman.inspection import gradient_flow

    name, options, scheme, state = CELLS[settings.cell]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(settings.seed)
        cell = getattr(cells, name)(FEATURES, settings.hidden, **options)
        layer = Recurrent(cell, init=scheme, engine="reference")
        x = torch.randn(ROWS, settings.steps, FEATURES)
    flow = gradient_flow(layer, x, loss=lambda output: output[:, -1].square().sum())
    norms = flow.states[state]
    reach = float(norms.horizon(FRACTION).value[0])
    yield {
        "event": "horizon",
        "cell": settings.cell,
        "class": name,
        "state": state,
        "fall": [value if math.isfinite(value) else None for value in norms.fall(0).tolist()],
        "horizon": int(reach) if math.isfinite(reach) else None,
        "steps": settings.steps,
    }


SAID = (
    "representation",
    "thought",
    "psychology",
    "elman",
    "walk",
    "responsibility",
    "queue",
    "interplanetary",
)

LESSON = Lesson(
    slug="limits",
    number=12,
    title="Three limits, and what cures each",
    minutes=7,
    question="A word of any length becomes one vector of fixed size: what of the long ones?",
    asks=(
        Ask("limits.bottleneck", Bottleneck, bottleneck, ({},)),
        Ask("limits.say", Say, say, tuple({"word": word} for word in SAID)),
        Ask("limits.speed", Speed, speed, ({},)),
        Ask("limits.horizon", Horizon, horizon, tuple({"cell": cell} for cell in CELLS)),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
