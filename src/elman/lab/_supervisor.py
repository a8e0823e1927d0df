"""One worker, fed from one queue, and replaced when it dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from elman.lab import _limits
from elman.lab._asks import TYPED, Place
from elman.lab._protocol import ENDS, LONGEST_LINE, Event

PATIENCE = 3.0
"""Seconds after which a worker that was asked to stop is killed."""
START = 600.0
"""Seconds in which a worker has to start, on a busy machine with a cold disk."""
PAUSE = 1.0
"""Seconds before another attempt, if processes cannot be started."""
QUEUE = 64
"""Asks that wait at most."""

TOO_LONG = (
    f"typed code has {_limits.SECONDS} seconds, and this was not done by then: look for a loop "
    "without an end, or ask for fewer steps, updates or hidden units."
)

Announce = Callable[[Event], None]


class QueuedAsk:
    """One ask of one page."""

    def __init__(
        self, owner: object, of: int, name: str, settings: Mapping[str, Any], send: Announce
    ) -> None:
        self.owner, self.of, self.name, self.settings = owner, of, name, settings
        self._send = send
        self.stopped = self.over = self.tried = False

    @property
    def typed(self) -> bool:
        """Whether it has typed code."""
        return self.name.startswith(TYPED)

    def tell(self, event: Event) -> None:
        """Send an event, unless the ask has ended; after a stop only the end is sent."""
        ends = event["event"] in ENDS
        if self.over or (self.stopped and not ends):
            return
        self.over = ends
        self._send({**event, "of": self.of})

    def fail(self, message: str) -> None:
        """End it with an error that no single setting is to blame for."""
        self.tell({"event": "error", "message": message, "where": ""})


class Supervisor:
    """The queue of asks, and the processes that answer them.

    Args:
        place: where the lab runs.
        announce: called with each change of the worker's state, as an event for all pages.
    """

    def __init__(self, place: Place, announce: Announce) -> None:
        self._place, self._announce = place, announce
        self._waiting: deque[QueuedAsk] = deque()
        self._wake = asyncio.Event()
        self._running: QueuedAsk | None = None
        self._answering: _Worker | None = None
        self._worker: _Worker | None = None
        self._spare: asyncio.Task[_Worker] | None = None  # for the next typed code
        self._nursery: _Nursery | None = None
        self.state: Event = {"event": "worker", "state": "starting", "message": "loading torch"}

    @property
    def worker(self) -> int | None:
        """The process id of the worker, once there is one."""
        return self._worker.process if self._worker else None

    def submit(self, job: QueuedAsk) -> None:
        """Queue an ask; an earlier one of the same page and name gives way to it."""
        for other in self._all():
            if other.owner is job.owner and other.name == job.name:
                self._stop(other)
        if len(self._waiting) >= QUEUE:
            job.fail(f"{QUEUE} asks are waiting: wait for them, then ask again")
            return
        self._waiting.append(job)
        self._wake.set()
        self._tell_places()

    def stop(self, owner: object, of: int | None = None) -> None:
        """Stop one ask of a page, or all."""
        for job in self._all():
            if job.owner is owner and of in (None, job.of):
                self._stop(job)

    async def run(self) -> None:
        """Answer asks until canceled."""
        try:
            while True:
                try:
                    worker = await self._ready()
                    while not worker.dead:
                        if self._waiting:
                            await self._answer(self._waiting.popleft(), worker)
                        else:
                            self._wake.clear()
                            await self._wake.wait()
                except (OSError, TimeoutError) as error:  # the nursery has died, or cannot start
                    await self._lost(f"the worker cannot be started: {_why(error)}")
                    await asyncio.sleep(PAUSE)
                else:
                    self._change("restarting", "the worker ended and is replaced")
        finally:
            self._close_worker()
            await self._close_spare()
            if self._nursery:
                await self._nursery.close()

    def _all(self) -> list[QueuedAsk]:
        return [*self._waiting, *filter(None, [self._running])]

    def _tell_places(self) -> None:
        """Tell every ask that waits how many are before it."""
        before = int(self._running is not None or self._worker is None)
        for place, job in enumerate(self._waiting, before):
            if place:
                job.tell({"event": "queued", "place": place})

    def _stop(self, job: QueuedAsk) -> None:
        job.stopped = True
        if job in self._waiting:
            self._waiting.remove(job)
            job.tell({"event": "stopped"})
            self._tell_places()
        elif self._answering:
            worker = self._answering
            worker.signal(signal.SIGKILL if job.typed else signal.SIGINT)
            asyncio.get_running_loop().call_later(PATIENCE, self._insist, job, worker)

    def _insist(self, job: QueuedAsk, worker: _Worker) -> None:
        """Kill the worker of a job that did not stop."""
        if job is self._running:
            worker.signal(signal.SIGKILL)

    def _change(self, state: str, message: str = "") -> None:
        self.state = {"event": "worker", "state": state, "message": message}
        self._announce(self.state)

    async def _ready(self) -> _Worker:
        """A worker that lives."""
        self._close_worker()
        self._worker = await self._forked("main")
        self._change("ready")
        return self._worker

    async def _apart(self) -> _Worker:
        """A worker for typed code, which was started after the last one was used."""
        spare, self._spare = self._spare, None
        worker = await spare if spare else None
        if worker is None or worker.dead:
            worker = await self._forked("code")
        return worker

    async def _forked(self, kind: str) -> _Worker:
        if self._nursery is None:
            self._nursery = await _Nursery.start(self._place)
        return await self._nursery.fork(kind, self._wake)

    async def _lost(self, why: str) -> None:
        self._change("restarting", why)
        self._close_worker()
        await self._close_spare()
        if self._nursery:
            await self._nursery.close()
            self._nursery = None

    def _close_worker(self) -> None:
        if self._worker:
            self._worker.close()
            self._worker = None

    async def _close_spare(self) -> None:
        if self._spare:
            self._spare.cancel()
            for left in await asyncio.gather(self._spare, return_exceptions=True):
                if isinstance(left, _Worker):
                    left.close()
            self._spare = None

    async def _answer(self, job: QueuedAsk, worker: _Worker) -> None:
        """Have one ask answered, by a worker of its own if it has typed code."""
        self._running = job
        try:
            self._answering = await self._apart() if job.typed else worker
            self._tell_places()
            async with asyncio.timeout(_limits.SECONDS if job.typed else None):
                await self._pass_on(job, self._answering)
        except TimeoutError:
            job.fail(TOO_LONG)
        except (EOFError, ValueError, ConnectionError):
            worker.dead = worker.dead or not job.typed
            if job.stopped:
                job.tell({"event": "stopped"})
            elif job.tried or job.typed:
                what = "the code ended its process" if job.typed else "the worker ended"
                job.fail(f"{what} before the answer was complete: ask again, with smaller settings")
            else:  # it may have died before this ask
                job.tried = True
                self._waiting.appendleft(job)
        finally:
            if not job.over and job not in self._waiting:
                job.fail("the worker cannot be started: ask again")
            if job.typed and self._answering:
                self._answering.close()
                self._spare = asyncio.create_task(self._forked("code"))
            self._running = self._answering = None
            self._tell_places()

    async def _pass_on(self, job: QueuedAsk, worker: _Worker) -> None:
        """Send the ask to the worker, and its events to the page.

        Raises:
            EOFError, ValueError: the worker died, or wrote what is no event.
        """
        if job.stopped:
            job.tell({"event": "stopped"})
            return
        late = False

        def interrupt() -> None:
            """A training saves; a loop without an end is killed a second later."""
            nonlocal late
            late = True
            worker.signal(signal.SIGINT)

        if job.typed:
            asyncio.get_running_loop().call_later(_limits.SECONDS - 1, interrupt)
        request = {"of": job.of, "name": job.name, "settings": job.settings}
        worker.writer.write(json.dumps(request).encode() + b"\n")
        while not job.over:
            line = await worker.reader.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            event = json.loads(line)
            if not isinstance(event, dict) or not isinstance(event.get("event"), str):
                raise ValueError("not an event")
            job.tried = True
            if event["event"] == "stopped" and late and not job.stopped:
                job.fail(" ".join(filter(None, [TOO_LONG, str(event.get("message", ""))])))
            job.tell(event)


def _why(error: OSError | TimeoutError) -> str:
    """What kept a worker from its start, and what to do; an error of a time limit has no words.

    >>> _why(TimeoutError())
    'it was not ready after 600 seconds: close other programs and wait; the lab tries again'
    """
    if isinstance(error, TimeoutError) and not str(error):
        limit = f"it was not ready after {START:g} seconds"
        return f"{limit}: close other programs and wait; the lab tries again"
    return f"{error}; the lab tries again"


class _Worker:
    """A forked worker: its socket and its process."""

    def __init__(
        self,
        process: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wake: asyncio.Event,
    ) -> None:
        self.process, self.reader, self.writer = process, reader, writer
        self.dead = False
        self._wake = wake
        self._handle = os.pidfd_open(process)
        asyncio.get_running_loop().add_reader(self._handle, self._died)

    def _died(self) -> None:
        self.dead = True
        asyncio.get_running_loop().remove_reader(self._handle)
        self._wake.set()

    def signal(self, number: int) -> None:
        """Send a signal to this very process, if it still lives."""
        with suppress(OSError):
            signal.pidfd_send_signal(self._handle, number)

    def close(self) -> None:
        """Kill it and forget it."""
        self.signal(signal.SIGKILL)
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        self._handle = -1
        self.writer.close()


class _Nursery:
    """The process that forks workers."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process, self._control = process, control
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, place: Place) -> _Nursery:
        """Start it, and wait until it has loaded torch.

        Raises:
            OSError, TimeoutError: it did not start.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = [sys.executable, "-P", "-m", "elman.lab._worker", str(theirs.fileno())]
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command,
                place.json(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | one_thread,
            )
        nursery = cls(process, ours)
        try:
            async with asyncio.timeout(START):
                await nursery._line()
        except (OSError, TimeoutError):
            await nursery.close()
            raise
        return nursery

    async def fork(self, kind: str, wake: asyncio.Event) -> _Worker:
        """A new worker, of kind "main" or "code", that is ready to answer.

        Raises:
            OSError, TimeoutError: the nursery has died, or the worker.
        """
        ours, theirs = socket.socketpair()
        try:
            async with self._turn, asyncio.timeout(START):
                with theirs:
                    request = kind.encode() + b"\n"
                    socket.send_fds(self._control, [request], [theirs.fileno()])
                process = int(await self._line())
            reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
        except BaseException:
            ours.close()
            raise
        worker = _Worker(process, reader, writer, wake)
        try:
            async with asyncio.timeout(START):
                if not await reader.readline():
                    raise ConnectionResetError("the worker ended at its start")
        except BaseException:
            worker.close()
            raise
        return worker

    async def close(self) -> None:
        """End it, and with it every worker."""
        self._control.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _line(self) -> bytes:
        """What it writes next.

        Raises:
            OSError: it has died.
        """
        line = await asyncio.get_running_loop().sock_recv(self._control, 64)
        if not line:
            raise ConnectionResetError("its process ended")
        return line
