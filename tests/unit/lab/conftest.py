"""A lab that runs: its server in a thread, its worker a process, and tabs that talk to it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

import elman
from elman.lab import _server
from elman.lab._asks import Place

PATIENCE = 250
"""Seconds for an answer on a machine that does other work too."""
ENDS = ("end", "error", "stopped")


class Tab:
    """A page's connection: asks, and collects events."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.id, self.worker = socket, 0, [""]
        self.early: list[dict[str, Any]] = []

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def receive(self) -> dict[str, Any]:
        event = json.loads(self.socket.recv(timeout=PATIENCE))
        if event["event"] == "worker":
            self.worker.append(event["state"])
        return event

    def ask(self, name: str, **settings: Any) -> int:
        self.id += 1
        self.send(do="ask", id=self.id, name=name, settings=settings)
        return self.id

    def until(self, of: int, event: str | None = None) -> list[dict[str, Any]]:
        """The events of an ask, up to its end or to one of a kind."""
        events = []
        while True:
            events.append(self.receive())
            mine = events[-1].get("of") == of
            if mine and events[-1]["event"] in (ENDS if event is None else (event, *ENDS)):
                return [each for each in events if each.get("of") == of]

    def answer(self, name: str, **settings: Any) -> list[dict[str, Any]]:
        return self.until(self.ask(name, **settings))


class Lab:
    """A running lab."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.address = directory, ""
        self.listening = threading.Event()
        self.listener = _server.listening(0)
        self.port = self.listener.getsockname()[1]
        self.server = _server.server(Place(directory), self.listener, self.ready)
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))
        self.thread.start()
        assert self.listening.wait(PATIENCE)
        self.base, _, self.token = self.address.partition("/?token=")

    def ready(self, address: str) -> None:
        self.address = address
        self.listening.set()

    def tab(self, *, token: str | None = None, origin: str | None = "", host: str = "") -> Tab:
        """A connection; without arguments one as the lab's own page makes it."""
        token = self.token if token is None else token
        address = f"{self.base.replace('http', 'ws')}/socket?token={token}"
        origin = self.base if origin == "" else origin
        headers = {"Host": host} if host else None
        opened = connect(address, origin=origin, additional_headers=headers, max_size=None)
        return Tab(opened.__enter__())

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        cookies = {f"elman-lab-{self.port}": self.token}
        return httpx.get(self.base + path, headers=headers, cookies=cookies, timeout=PATIENCE)

    def processes(self) -> tuple[int, list[int]]:
        """The nursery and its workers, once it is there: another test may just have ended it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for child in _children(os.getpid()):
                if "elman.lab" in _command(child):
                    return child, _children(child)
            time.sleep(0.05)
        raise TimeoutError(f"no nursery of the lab after {PATIENCE} seconds")

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(PATIENCE)
        self.listener.close()


def _children(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _command(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with an empty folder of runs, for all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        source = str(Path(elman.__file__).parents[1])
        patch.setenv("PYTHONPATH", os.pathsep.join([os.environ.get("PYTHONPATH", ""), source]))
        made = Lab(tmp_path_factory.mktemp("lab") / "runs")
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def tab(lab: Lab) -> Iterator[Tab]:
    """A tab whose worker is ready."""
    opened = lab.tab()
    with closing(opened.socket):
        while opened.receive().get("state") != "ready":
            pass
        yield opened


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it is not within the patience of these tests.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it has not come about")
        time.sleep(0.02)
