"""Events of work that reports while it runs, such as a training."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias

from elman.lab._protocol import Event

Work: TypeAlias = Callable[[Callable[[Event], None]], None]
"""Does something, and calls what it is given with each event."""


class Live:
    """The events of work that reports them by a call: an answer of an ask.

    The worker runs the work itself, in its main thread, so that a stop reaches a training as Ctrl-C
    does, and the training saves. Anyone else iterates, and a thread runs it.

    >>> list(Live(lambda report: report({"event": "probe", "radius": 1.0})))
    [{'event': 'probe', 'radius': 1.0}]
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._events: SimpleQueue[Event | BaseException | None] | None = None

    def __iter__(self) -> Live:
        return self

    def __next__(self) -> Event:
        if self._events is None:
            self._events = SimpleQueue()
            Thread(target=self._run, args=(self._events,), daemon=True).start()
        event = self._events.get()
        if event is None:
            raise StopIteration
        if isinstance(event, BaseException):
            raise event
        return event

    def _run(self, events: SimpleQueue[Event | BaseException | None]) -> None:
        try:
            self.work(events.put)
        except BaseException as error:  # noqa: BLE001 - it is raised where the events are read
            events.put(error)
        events.put(None)
