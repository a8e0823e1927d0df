"""A lab that runs in its own process, and a browser that opens it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import elman
import sampling

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --enable-precise-memory-info"
)
PATIENCE = 240
"""Seconds for an answer on a machine that does other work too."""


SAMPLE = 4
"""Tests of a run that is not full: a browser and a worker take their time."""


@pytest.hookimpl(trylast=True)  # after those that the command line leaves out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the tests with a browser, a run takes some by the seed; a full run takes all."""
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    left_out = set(here) - set(sampling.cases(here, SAMPLE))
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


class Lab:
    """A running lab: its address, its folder and its process."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        source = str(Path(elman.__file__).parents[1])
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), source]))
        self._printed = folder / "printed"
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "elman", "lab", "--no-open", "--port", "0", *options],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                stderr=printed,
            )
        wait_for(lambda: "http://" in self._printed.read_text())
        self.address = re.findall(r"http://\S+", self._printed.read_text())[0]

    def workers(self) -> list[int]:
        """The process that answers, and one in reserve: forks of a child of the server."""
        return [worker for child in _children(self._process.pid) for worker in _children(child)]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield made
    finally:
        made.close()


# Not of the session: while Playwright runs, no other test could run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield opened
        opened.close()


class Visit:
    """A tab, and what it complained of and asked for."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        context.set_default_timeout(PATIENCE * 1000)
        self.page: Page = context.new_page()
        self.address = address
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._received))

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _received(self, data: Any) -> None:
        self.events.append(json.loads(data))

    def latest(self, event: str) -> dict[str, Any]:
        """The last event of a kind that the page received; empty if there was none.

        Events come in while the browser is asked something, so it is.
        """
        self.page.evaluate("0")
        return next((each for each in reversed(self.events) if each["event"] == event), {})

    def go(self, route: str = "#/") -> Page:
        """Open a route, and wait until its screen stands."""
        self.page.goto(self.address + route)
        self.page.wait_for_selector("main h1")
        return self.page

    def begin(self, slug: str, settings: str = "") -> Page:
        """Open a lesson with its stage."""
        self.go(f"#/{slug}{settings}")
        if not settings:
            self.page.click("text=Begin without a guess")
        self.page.wait_for_selector(".lesson.begun .sheet")
        return self.page

    def turn(self, name: str, value: float) -> None:
        """Move a slider as a hand does: by an input event."""
        self.page.eval_on_selector(
            f"[data-knob={name}] input",
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
            str(value),
        )

    def ready(self) -> None:
        """Wait for the worker."""
        self.page.wait_for_selector("#worker[data-state=ready]")


@pytest.fixture
def visit(browser: Browser, lab: Lab) -> Iterator[Callable[..., Visit]]:
    """Opens tabs, each in a context of its own, which must have nothing to complain of."""
    made: list[tuple[BrowserContext, Visit]] = []

    def opened(*, width: int = 1280, **options: Any) -> Visit:
        size = {"width": width, "height": 844 if width < 600 else 900}
        context = browser.new_context(viewport=size, **options)
        made.append((context, Visit(context, lab.address)))
        return made[-1][1]

    yield opened
    for context, each in made:
        context.close()
        assert not each.complaints


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it is not in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it has not come about")
        time.sleep(0.05)
