"""How training looks: a bar on a terminal, plain lines off it, JSON lines where asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from elman.cli._output import duration, emit, log, number

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Event = Mapping[str, Any]


@contextmanager
def reporting(*, json: bool, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """What a training run's events are told to; the terminal is whole again at the end."""
    bar = Bar()
    shown: list[Callable[[Event], None]] = [emit] if json else []
    if not quiet:
        shown.append(bar if sys.stderr.isatty() else plain)

    def report(event: Event) -> None:
        for show in shown:
            show(event)

    try:
        yield report
    finally:
        bar.close()


def plain(event: Event) -> None:
    """A line for each event that says something new."""
    if line := described(event):
        log(line)


class Bar:
    """One bar for the whole run, with the validations as lines above it."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "train":
                self._advance(event)
            case _:
                if line := described(event):
                    self._print(line)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _print(self, line: str) -> None:
        if self._progress is None:
            log(line)
        else:
            self._progress.console.print(line, highlight=False, markup=False)

    def _advance(self, event: Event) -> None:
        if self._progress is None:
            self._progress = _bar()
            self._progress.start()
            self._task = self._progress.add_task("", total=event["updates"], now="")
        assert self._task is not None
        self._progress.update(self._task, completed=event["update"], now=_now(event))


def described(event: Event) -> str:
    """An event as one line; empty for those that need none."""
    match event["event"]:
        case "start":
            resumed = " (resumed)" if event.get("resumed") else ""
            return (
                f"run {event['run']}{resumed}: seed {event['seed']}, {event['device']}, "
                f"{event['parameters']:,} parameters, {event['updates']:,} updates"
            )
        case "train":
            left = _left(event)
            return f"  {event['update']:,}/{event['updates']:,}  {_now(event)}" + (
                f"  {duration(left)} left" if left is not None else ""
            )
        case "valid":
            best = "  best so far" if event.get("best") else ""
            measures = "  ".join(
                f"{name} {number(event[name])}"
                for name in ("nats", "perplexity", "bits_per_char", "accuracy")
                if event.get(name) is not None
            )
            return f"epoch {event['epoch']}, update {event['update']:,}: valid {measures}{best}"
    return ""


def _now(event: Event) -> str:
    return f"nats {event['nats']:.3f}  {event['tokens_per_second']:,.0f} tokens/s"


def _left(event: Event) -> float | None:
    """Seconds left at the pace of the whole run so far."""
    if not event["update"] or not event.get("seconds"):
        return None
    return float(event["seconds"] / event["update"] * (event["updates"] - event["update"]))


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[now]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
    )
