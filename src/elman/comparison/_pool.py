"""Parallel runs, each in its own process; a stop signal is passed on to all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from queue import Empty, Queue
from threading import Thread
from typing import Any

from elman._errors import Interrupted
from elman._signals import stop_on_signals
from elman.cells.references import lookup
from elman.comparison._folder import Folder, Job
from elman.comparison._result import Outcome
from elman.training import Report

GLANCE = 0.2
"""Seconds between two checks for a stop signal."""

Message = tuple[Job, dict[str, Any] | None]


class ProcessPool:
    """Trains jobs, ``at_once`` of them in parallel, and reports their events as they arrive.

    Each event gets the keys "candidate" and "seed".
    """

    def __init__(self, folder: Folder, report: Report, *, at_once: int, threads: int) -> None:
        self.folder, self.report, self.at_once = folder, report, at_once
        self.environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.cells: list[str] = []
        self.running: dict[Job, subprocess.Popen[str]] = {}
        self.messages: Queue[Message] = Queue()
        self.stopping = False

    def train(self, jobs: Iterable[Job]) -> None:
        """Train all jobs; return when every one has finished or failed.

        Raises:
            Interrupted: Ctrl-C, SIGTERM or SIGHUP, after all runs in training have saved.
        """
        waiting = deque(jobs)
        if waiting:  # the runs execute what this process has resolved, never what the folder names
            self.cells = [cell for cell in self.folder.own_cells() if lookup(cell)]
        try:
            with stop_on_signals() as stop:
                while self.running or waiting:
                    if stop.signal and not self.stopping:
                        self._stop()
                        waiting.clear()
                    while waiting and len(self.running) < self.at_once:
                        self._start(waiting.popleft())
                    self._listen()
                if stop.signal and any(self.folder.left()):
                    raise Interrupted(
                        f"stopped by {stop.signal}; all runs are saved in {self.folder.path}",
                        self._resumption(),
                    )
        finally:
            for process in self.running.values():  # a second Ctrl-C does not wait
                process.kill()

    def _resumption(self) -> tuple[str, ...]:
        """The command that continues the comparison."""
        own = ("--cells", ",".join(self.cells)) if self.cells else ()
        return ("compare", self.folder.comparison().task, "--resume", str(self.folder.path), *own)

    def _start(self, job: Job) -> None:
        log = self.folder.log(job)
        log.parent.mkdir(exist_ok=True)
        self.folder.forget(job)
        command = [sys.executable, "-m", "elman.comparison._worker", str(self.folder.path)]
        with log.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [*command, job.name, str(job.seed), *self.cells],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=self.environment,
                start_new_session=True,  # so that we pass on a Ctrl-C ourselves
            )
        self.running[job] = process
        Thread(target=self._follow, args=(job, process), daemon=True).start()

    def _stop(self) -> None:
        """Ask every run to save and stop."""
        self.stopping = True
        for process in self.running.values():
            process.terminate()

    def _follow(self, job: Job, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process:
            for line in process.stdout:
                self.messages.put((job, json.loads(line)))
        self.messages.put((job, None))

    def _listen(self) -> None:
        """Report the next event, if one arrives within a moment."""
        try:
            job, event = self.messages.get(timeout=GLANCE)
        except Empty:
            return
        fields = event if event is not None else self._ended(job)
        self.report({**fields, "candidate": job.name, "seed": job.seed})

    def _ended(self, job: Job) -> dict[str, Any]:
        code, log = self.running.pop(job).returncode, self.folder.log(job)
        outcome = self.folder.outcome(*job)
        if code and not self.stopping:
            lines = log.read_text(encoding="utf-8").strip().splitlines() or ["no output"]
            message = f"the process failed with exit code {code}: {lines[-1]}"
            outcome = Outcome(seed=job.seed, status="failed", message=message)
            self.folder.save(job.name, outcome)
        if not log.stat().st_size:
            log.unlink()
        status = outcome.status if outcome else "interrupted"
        return {"event": "ended", "status": status, "message": outcome.message if outcome else ""}
