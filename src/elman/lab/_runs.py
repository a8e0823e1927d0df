"""The run folders that a lab shows, and what their files say; torch is not imported."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elman._errors import CheckpointError, ConfigError, nearest
from elman._files import read_plain, why
from elman.lab._asks import Place
from elman.lab._protocol import Event

METRICS = "metrics.jsonl"
LARGEST = 32 * 1024**2
"""Bytes of a metrics.jsonl that are read."""
QUIET = 120.0
"""Seconds without an event after which a run without an end no longer counts as live."""
GLANCE = 0.3
"""Seconds between two looks at a run that trains."""
AT_A_GLANCE = 3
"""Events of a look that are sent."""


def folders(place: Place) -> dict[str, Path]:
    """The run folders by name: those that were given, and those in the directory, newest first."""
    inside = place.directory.iterdir() if place.directory.is_dir() else ()
    found = [path for path in inside if (path / "config.toml").is_file()]
    found.sort(key=lambda path: (path / "config.toml").stat().st_mtime, reverse=True)
    named: dict[str, Path] = {}
    for path in (*place.runs, *found):
        known = named.setdefault(path.resolve().name, path)
        if known.resolve() != path.resolve():
            named[str(path)] = path
    return named


def folder_of(name: str, place: Place) -> Path:
    """The folder of a run.

    Raises:
        ConfigError: there is no run of this name.
    """
    known = folders(place)
    if name not in known:
        raise ConfigError(f"run: no run {name!r}: {nearest(name, known)}")
    return known[name]


def listed(place: Place) -> list[Event]:
    """What a page needs to list the runs."""
    return [{"name": name, **_described(path)} for name, path in folders(place).items()]


def _described(path: Path) -> Event:
    from elman.reporting import sentence
    from elman.training import read_config

    try:
        config, events = read_config(path), read_events(path)
    except CheckpointError as error:
        return {"path": str(path), "summary": str(error), "broken": True}
    model = config.get("model", {})
    return {
        "path": str(path),
        "task": config.get("task", ""),
        "cell": model.get("cell", "") if isinstance(model, dict) else "",
        "summary": sentence(config, events),
        "live": is_live(path, events),
    }


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a run; lines that are none are left out.

    Raises:
        CheckpointError: the file cannot be read.
    """
    file = path / METRICS
    try:
        if file.stat().st_size > LARGEST:
            raise CheckpointError(f"{file}: larger than {LARGEST:,} bytes: use `elman report`")
        return list(_parsed(read_plain(file).split(b"\n")))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {why(error)}") from error


def _parsed(lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            yield event


def is_live(path: Path, events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run seems to train now: it has no end, and its last event is recent."""
    if not events or events[-1]["event"] in ("end", "diverged"):
        return False
    return time.time() - (path / METRICS).stat().st_mtime < QUIET


async def follow(path: Path) -> AsyncIterator[Event]:
    """The events that a run logs from now on, until its last; at most ten a second.

    Of several events of a kind within a moment, as of a quick run, the last is sent.
    """
    file, rest = path / METRICS, b""
    at = file.stat().st_size if file.exists() else 0
    while True:
        await asyncio.sleep(GLANCE)
        size = file.stat().st_size if file.exists() else 0
        if size < at:  # resumed from an earlier checkpoint, whose later lines were cut off
            at, rest = size, b""
        if size == at:
            continue
        with file.open("rb") as content:
            content.seek(at)
            new = content.read(min(size - at, LARGEST))
        at += len(new)
        *lines, rest = (rest + new).split(b"\n")
        events = list(_parsed(lines))
        kinds = {event["event"]: event for event in events}
        for event in list(kinds.values())[-AT_A_GLANCE:]:
            if event["event"] == "end":
                yield {**event, "event": "finished"}
                return
            yield event
