"""Interleaved timing: every candidate in turn, in short blocks, with a pause before each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

PAUSE = 0.03  # seconds; thread pools that spin after a call have stopped by then
BLOCK = 0.02  # seconds that a block takes at least
MOST_CALLS = 2000


def interleave(
    calls: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, list[float]]:
    """Seconds a call of each candidate, over ``repeats`` blocks each.

    In every round each candidate has one block, and each round begins with another candidate, so
    that a slow phase of the machine meets all of them. A block is a pause, a call that brings the
    caches back (where a call is shorter than a block), and then as many calls as fill a block.

    Args:
        calls: what to time, by name. They have run once before.
        repeats: blocks of each.
        clock: seconds.
        sleep: pauses for seconds.

    Example:
        >>> times = interleave({"sum": lambda: sum(range(9)), "max": lambda: max(range(9))}, 2)
        >>> {name: len(seconds) for name, seconds in times.items()}
        {'sum': 2, 'max': 2}
    """
    durations = {name: _duration(call, clock) for name, call in calls.items()}
    counts = {
        name: max(1, min(MOST_CALLS, int(BLOCK / max(seconds, 1e-9))))
        for name, seconds in durations.items()
    }
    blocks: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(repeats):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            call, count = calls[name], counts[name]
            sleep(PAUSE)
            if durations[name] < BLOCK:
                call()
            begin = clock()
            for _ in range(count):
                call()
            blocks[name].append((clock() - begin) / count)
    return blocks


def _duration(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    begin = clock()
    call()
    return clock() - begin
