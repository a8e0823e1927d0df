"""Progress of a comparison: one display for all of its runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from elman.cli._output import counted, log, table, to_stderr
from elman.cli._progress import Event, Report, described, new_bar, now, reporter

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def reporting_many(*, json: bool, quiet: bool) -> Iterator[Report]:
    """A function to report the events of a comparison to; the bars are closed at the end."""
    bars = Bars()
    try:
        yield reporter(seeds_only if quiet else bars if sys.stderr.isatty() else plain, json=json)
    finally:
        with to_stderr():
            bars.close()


def seeds_only(event: Event) -> None:
    """What --quiet still prints."""
    if event["event"] == "plan":
        log(f"seeds {', '.join(map(str, event['seeds']))}")


def plain(event: Event) -> None:
    """Log an event as lines, with the run it belongs to."""
    for line in lines(event):
        log(line)


def lines(event: Event) -> list[str]:
    """An event as lines of text; none if it is not shown."""
    match event["event"]:
        case "plan":
            return [*_planned(event).splitlines()]
        case "start":
            resumed = f" at update {event['update']:,}" if event["resumed"] else ""
            text = f"started{resumed}, {counted(event['updates'], 'update')}"
        case "ended" if event["status"] != "done":
            text = f"{event['status']} {event['message']}".strip()
        case "ended":
            text = "done"
        case "reading" | "end" | "diverged":
            return []
        case _:
            text = described(event).strip()
    return [f"{_whose(event)}: {text}"] if text else []


class Bars:
    """A bar for all runs and one for each run in training; validations are lines above them."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._ended = self._whole = 0

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "reading" if "candidate" not in event:
                self._show(f"reading {event['what']}", event["done"], event["total"])
            case "plan":
                self.close()
                log(_planned(event))
                self._ended = sum(len(c.get("runs", [])) for c in event["candidates"])
                self._whole = len(event["seeds"]) * len(event["candidates"])
                self._show("runs", self._ended, self._whole)
            case "train":
                self._show(_whose(event), event["update"], event["updates"], now(event))
            case "ended":
                self._ended += event["status"] != "interrupted"
                self._say(event)
                self._drop(_whose(event))
                self._show("runs", self._ended, self._whole)
            case _:
                self._say(event)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks = {}

    def _say(self, event: Event) -> None:
        for line in lines(event):
            if self._progress is None:
                log(line)
            else:
                self._progress.console.print(line, highlight=False, markup=False)

    def _show(self, what: str, done: int, total: int, text: str = "") -> None:
        if self._progress is None:
            self._progress = new_bar()
            self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, now=text)
        self._progress.update(self._tasks[what], completed=done, total=total, now=text)

    def _drop(self, what: str) -> None:
        if self._progress is not None and what in self._tasks:
            self._progress.remove_task(self._tasks.pop(what))


def _whose(event: Event) -> str:
    return f"{event['candidate']} seed {event['seed']}"


def _planned(event: Event) -> str:
    """The runs to train, and the size of each network."""
    sizes: list[list[str]] = [["", "hidden", "parameters"]]
    sizes += [[c["name"], str(c["hidden"]), f"{c['parameters']:,}"] for c in event["candidates"]]
    target = f" ({event['target']:,})" if event.get("target") else ""
    seeds = ", ".join(map(str, event["seeds"]))
    share = (
        f"{counted(event['jobs'], 'run')} in parallel, {counted(event['threads'], 'thread')} each"
    )
    return (
        f"comparison {event['path']}\nseeds {seeds}; {share}; equal {event['equal']}{target}\n"
        f"{table(sizes)}"
    )
