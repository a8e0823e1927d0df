"""Progress of reading and training: a bar on a terminal, otherwise lines of text or JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from elman.cli._output import counted, duration, emit, log, number, to_stderr

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LARGE = 10_000_000
"""Bytes of a file whose reading is reported."""

Event = Mapping[str, Any]
Report = Callable[[Event], None]


@contextmanager
def reporting(*, json: bool, quiet: bool) -> Iterator[Report]:
    """A function to report the events of a run to; the bar is closed at the end."""
    bar = Bar()
    try:
        yield reporter(seed_only if quiet else bar if sys.stderr.isatty() else plain, json=json)
    finally:
        with to_stderr():
            bar.close()


def reporter(show: Report, *, json: bool) -> Report:
    """A function that shows an event and, with ``json``, prints it as a line of JSON."""

    def report(event: Event) -> None:
        if json:
            emit_event(event)
        with to_stderr():
            show(event)

    return report


def emit_event(event: Event) -> None:
    if event["event"] != "reading":
        emit(event)


def seed_only(event: Event) -> None:
    """What --quiet still prints."""
    if event["event"] == "start":
        log(f"seed {event['seed']}")


def plain(event: Event) -> None:
    """Log an event as a line, if it has one."""
    if line := described(event):
        log(line)


class Bar:
    """A progress bar for reading, then one for training; validations are lines above it."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "reading":
                self._show(event["what"], event["done"], event["total"], "")
            case "train":
                self._show("training", event["update"], event["updates"], now(event))
            case _ if line := described(event):
                self._print(line)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _print(self, line: str) -> None:
        if self._progress is None:
            log(line)
        else:
            self._progress.console.print(line, highlight=False, markup=False)

    def _show(self, what: str, done: int, total: int, now: str) -> None:
        if self._progress is None:
            self._progress = new_bar()
            self._progress.start()
        if self._task is None or what != self._what:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._what = self._progress.add_task(what, total=total, now=now), what
        self._progress.update(self._task, completed=done, total=total, now=now)


def described(event: Event) -> str:
    """An event as text; empty if it is not shown."""
    match event["event"]:
        case "reading" if event["done"] >= event["total"] >= LARGE:
            return f"read {event['what']}: {event['total'] / 1e6:.1f} MB"
        case "start":
            return _started(event)
        case "train":
            left = event["seconds"] / event["update"] * (event["updates"] - event["update"])
            place = f"{event['update']:,}/{event['updates']:,}"
            return f"  update {place}  {now(event)}  {duration(left)} left"
        case "valid":
            return _validated(event)
    return ""


def _started(event: Event) -> str:
    resumed = f", continued from update {event['update']:,}" if event["resumed"] else ""
    return (
        f"run {event['run']}{resumed}\nseed {event['seed']}, {event['device']}, "
        f"{counted(event['threads'], 'thread')}, {counted(event['parameters'], 'parameter')}, "
        + (f"{event['input_steps']} steps of input, " if "input_steps" in event else "")
        + counted(event["updates"], "update")
        + "".join(f"\n{line}" for line in facts(event.get("data", {})))
    )


def facts(data: Mapping[str, Any]) -> Iterator[str]:
    """Facts about the data, one per line.

    >>> list(facts({"rows": {"train": 1200, "test": 3}, "duplicates": 1}))
    ['rows: train 1,200, test 3', 'duplicates: 1']
    >>> list(facts({"longer": {"than": 20, "read": "head", "train": 7, "test": 0}}))
    ['rows longer than 20 steps, cut to the first 20: train 7, test 0']
    """
    for name, value in data.items():
        match value:
            case {"than": most, **longer}:
                name, text = _longer(most, longer)
            case Mapping():
                text = ", ".join(f"{key} {_fact(inner)}" for key, inner in value.items())
            case list():
                text = "".join(f"\n  {line}" for line in value)
            case _:
                text = _fact(value)
        yield f"{name.replace('_', ' ')}: {text}"


def _longer(most: Any, rows: dict[Any, Any]) -> tuple[str, str]:
    """The line about rows that are longer than the network reads, and their number by split."""
    end = {"head": "first", "tail": "last"}[rows.pop("read", "head")]
    counts = ", ".join(f"{split} {_fact(count)}" for split, count in rows.items())
    return f"rows longer than {most} steps, cut to the {end} {most}", counts


def _fact(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _validated(event: Event) -> str:
    known = (
        "nats", "perplexity", "bits_per_char", "accuracy", "macro_f1", "span_f1", "mse", "rmse",
        "mase", "coverage", "nll", "pinball",
    )  # fmt: skip
    measures = "  ".join(f"{name} {number(event[name])}" for name in known if name in event)
    best = "  (best)" if event["best"] else ""
    return f"epoch {event['epoch']}, update {event['update']:,}: valid {measures}{best}"


def now(event: Event) -> str:
    values = ((k, v) for k, v in event.items() if k != "seconds" and isinstance(v, float))
    unit, loss = next(values)
    rate, speed = next((k, v) for k, v in event.items() if k.endswith("_per_second"))
    return f"{unit} {number(loss)}  {speed:,.0f} {rate.removesuffix('_per_second')}/s"


def new_bar() -> Progress:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[now]}"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=2,  # drawing takes time from training
    )
