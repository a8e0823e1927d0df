"""The processes that compute: a nursery with torch loaded, which forks a worker in milliseconds.

The nursery does nothing but fork, and end what its workers leave behind. A worker reads one ask a
line and writes its events, a line each. ``python -m elman.lab._worker FD PLACE`` is the nursery.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from elman._errors import ConfigError, ElmanError, Interrupted
from elman.lab import _limits
from elman.lab._asks import Place, asks_of
from elman.lab._lesson import Ask
from elman.lab._live import Live
from elman.lab._protocol import (
    ENDS,
    Event,
    config_problems,
    encode,
    error_event,
    read_settings,
)

HEAVY = (
    "elman.cells:LSTM GRU",
    "elman.engine:explain",
    "elman.init:initialize",
    "elman.inspection:gradient_flow record_activations",
    "elman.layers:Recurrent",
    "elman.tasks:Classify LanguageModel Regress Tag",
    "elman.training:fit",
    "torch._dynamo:disable",
    "torch.fx.experimental.proxy_tensor:make_fx",
    "torch.func:vjp",
)
"""What asks import, module and names: loaded once, before the first fork."""
BURST, PER_SECOND = 64, 10
"""Events of an ask that may come at once, and how many a second after that."""
PRINTED = 2000
"""Characters of what typed code prints that are shown."""


def nursery(control: socket.socket, place: Place) -> None:
    """Fork a worker for each request on the socket until it closes; then end them all."""
    _limits.adopt_orphans()
    _limits.die_with_parent()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the server, which closes the socket
    for entry in HEAVY:
        module, _, names = entry.partition(":")
        for name in names.split():
            getattr(import_module(module), name)
    gc.collect()
    gc.freeze()  # so that a worker's collector does not copy the pages of what is loaded
    control.sendall(b"ready\n")
    workers: set[int] = set()
    try:
        while True:
            readable, _, _ = select.select([control], [], [], 0.2)
            workers -= _ended(workers)
            if not readable:
                continue
            line, handles, _, _ = socket.recv_fds(control, 64, 1)
            if not line:
                return
            channel = socket.socket(fileno=handles[0])
            child = os.fork()
            if child == 0:
                control.close()
                _born(channel, place, typed=line.strip() == b"code")
            channel.close()
            workers.add(child)
            control.sendall(f"{child}\n".encode())
    finally:
        for child in workers:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _ended(workers)


def _ended(workers: set[int]) -> set[int]:
    """The workers that have ended; what they left behind is ended here."""
    ended: set[int] = set()
    while True:
        try:
            child, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if child == 0:
            return ended
        if child in workers:
            ended.add(child)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
        for orphan in _children() - workers:
            with suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)


def _children() -> set[int]:
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(child) for child in task.read_text().split()} if task.exists() else set()


def _born(channel: socket.socket, place: Place, *, typed: bool) -> None:
    """What a fork does: answer until the socket closes, and end."""
    code = 1
    try:
        _limits.die_with_parent()
        os.setsid()
        Worker(channel, place, typed=typed).run()
        code = 0
    finally:
        os._exit(code)  # nothing of the nursery's is to be run or flushed


class Worker:
    """Answers asks, one at a time, until its socket closes."""

    def __init__(self, channel: socket.socket, place: Place, *, typed: bool) -> None:
        self._lines = channel.makefile("r", encoding="utf-8")
        self._channel, self._typed = channel, typed
        self._asks = asks_of(place)
        self._busy = False
        signal.signal(signal.SIGINT, self._interrupted)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def run(self) -> None:
        """Answer every line."""
        self._warm()
        if self._typed:
            self._apart()
        self._channel.sendall(b"ready\n")
        for line in self._lines:
            request = json.loads(line)
            try:
                self._busy = True
                self._answer(request["of"], self._asks[request["name"]], request["settings"])
            except KeyboardInterrupt:  # after the last event, or between two
                self._send(request["of"], {"event": "stopped"})
            finally:
                self._busy = False

    def _warm(self) -> None:
        """Probe once, so that the first answer does not wait for what is made on first use."""
        ask = self._asks["sandbox.probe"]
        deque(ask.answer(ask.settings()), maxlen=0)

    def _apart(self) -> None:
        """A worker of typed code: its output goes nowhere, and the system limits it."""
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        _limits.confine()

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """Stop what is asked now; a stop that comes too late stops nothing."""
        if self._busy:
            raise KeyboardInterrupt

    def _answer(self, of: int, ask: Ask, settings: Any) -> None:
        """All events of an answer, and how it ended."""
        end: Event
        try:
            checked = read_settings(ask.settings, settings)
            if isinstance(checked, list):
                self._send(of, error_event(checked))
                return
            end = self._events(of, ask.answer(checked))
        except Interrupted as error:
            end = {"event": "stopped", "message": str(error), "resume": list(error.resume)}
        except ConfigError as error:
            end = error_event(config_problems(error, {n: n for n in ask.settings.model_fields}))
        except ElmanError as error:
            end = {"event": "error", "message": str(error), "where": ""}
        except MemoryError:
            end = {"event": "error", "message": NO_MEMORY, "where": ""}
        except Exception as error:  # noqa: BLE001 - typed code, and nothing is above us
            message = f"{type(error).__name__}: {error}"
            short = NO_MEMORY if "can't allocate memory" in message else message[:1000]
            end = {"event": "error", "message": short, "where": ""}
        self._busy = False
        self._send(of, end)

    def _events(self, of: int, events: Iterator[Event]) -> Event:
        """Send the events of an answer but those that end it, and return what ends it.

        A training has an "end" of its own, with its metrics.
        """
        pace = _Pace()
        end: Event = {"event": "end"}

        def send(event: Event) -> None:
            if event["event"] in ENDS:
                end.update(event)
                return
            pace.wait()
            self._send(of, event)

        if isinstance(events, Live):
            events.work(send)
        else:
            for event in events:
                send(event)
        return end

    def _send(self, of: int, event: Event) -> None:
        self._channel.sendall(encode({**event, "of": of}).encode() + b"\n")


NO_MEMORY = "out of memory: use fewer hidden units, fewer steps or fewer rows"


class _Pace:
    """Waits between events, so that a page can draw them: after a burst ten a second."""

    def __init__(self) -> None:
        self._left, self._last = float(BURST), time.monotonic()

    def wait(self) -> None:
        """Wait until the next event may be sent."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._last) * PER_SECOND) - 1
        self._last = now
        if self._left < 0:
            time.sleep(-self._left / PER_SECOND)


def main() -> None:
    """Run the nursery on the socket that the server passed on."""
    with suppress(BrokenPipeError):  # the server has ended meanwhile
        nursery(socket.socket(fileno=int(sys.argv[1])), Place.of_json(sys.argv[2]))


if __name__ == "__main__":
    main()
