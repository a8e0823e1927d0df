"""How quick the page of `elman lab` is in headless Chromium; for a machine that does nothing else.

    python -m benchmarks.lab [--rounds 5] [--chromium FILE] [--json FILE]

It starts a lab of its own in an empty folder, and prints the seconds of each round: from the
address to the cards of the lessons (less than 2); from a knob's last move to its plot, with the
0.15 s in which further moves are awaited (less than 0.5); from the end of the worker's process to
the answer of its successor (less than 5); and of lesson 7 the training that fails, and the one that
is cured (less than 20 each).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.speed._machine import environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIMITS = {"page": 2.0, "plot": 0.5, "worker": 5.0, "sick": 20.0, "cured": 20.0}
"""Seconds that each may take."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions"
)
PATIENCE = 240_000
"""Milliseconds after which a page is given up."""
SENTENCE = ".chart:has(.scrubber) .sentence"
OTHER = "text => document.querySelector('.chart:has(.scrubber) .sentence').innerText !== text"
TURN = "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }"


@contextmanager
def lab(folder: Path) -> Iterator[tuple[str, int]]:
    """A lab that runs in the folder: its address and its process."""
    printed = folder / "printed"
    command = [sys.executable, "-m", "elman", "lab", "--no-open", "--port", "0"]
    with printed.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, stderr=file)
    try:
        while not (found := re.search(r"http://\S+", printed.read_text(encoding="utf-8"))):
            if process.poll() is not None:
                raise SystemExit(f"the lab did not start: {printed.read_text(encoding='utf-8')}")
            time.sleep(0.05)
        yield found[0], process.pid
    finally:
        process.terminate()
        process.wait()


def worker_of(process: int) -> int:
    """The process that answers: a fork of a child of the server."""
    for child in _children(process):
        for worker in _children(child):
            return worker
    raise SystemExit("the lab has no worker")


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def opened(browser: Browser, address: str, route: str) -> Page:
    """A tab of its own at a route, whose worker is ready."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address + route)
    page.wait_for_selector("#worker[data-state=ready]")
    return page


def home(browser: Browser, address: str) -> None:
    """Open the page, until the cards of the lessons are there."""
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address + "#/")
    page.wait_for_selector(".card")
    page.context.close()


def plot(page: Page, radius: float) -> None:
    """Move the knob of the radius, until the sentence of the plot is another."""
    before = page.inner_text(SENTENCE)
    page.eval_on_selector("[data-knob=radius] input", TURN, str(radius))
    page.wait_for_function(OTHER, arg=before, polling=10)


def replaced(page: Page, process: int, radius: float) -> None:
    """End the worker, and turn a knob until its successor has answered."""
    before = page.inner_text(SENTENCE)
    worker = worker_of(process)
    os.kill(worker, signal.SIGKILL)
    page.eval_on_selector("[data-knob=radius] input", TURN, str(radius))
    page.wait_for_function(OTHER, arg=before, polling=10)


def trained(browser: Browser, address: str, cure: str) -> float:
    """The seconds of a training of lesson 7 with a cure, from the button to its result."""
    page = opened(browser, address, f"#/cures?cure={cure}&task=adding&rate=0.01&seed=0")
    page.wait_for_selector(".lesson.begun .sheet")
    page.wait_for_timeout(3000)  # for the pictures that the lesson begins with

    def train() -> None:
        page.click(".sheet button:text-is('Train')")
        page.wait_for_selector(f".say:has-text('{cure}, adding, rate 0.01: error')")

    took = seconds(train)
    page.context.close()
    return took


def measure(
    browser: Browser, address: str, process: int, rounds: int
) -> Iterator[tuple[str, list[float]]]:
    """The seconds of each round, by what was measured."""
    yield "page", [seconds(partial(home, browser, address)) for _ in range(rounds)]
    page = opened(browser, address, "#/sandbox?radius=1")
    page.wait_for_selector(f"{SENTENCE}:has-text('The gradient')")
    radii = [0.5 + 0.1 * number for number in range(2 * rounds)]
    yield "plot", [seconds(partial(plot, page, radius)) for radius in radii[:rounds]]
    yield "worker", [seconds(partial(replaced, page, process, r)) for r in radii[rounds:]]
    page.context.close()
    for name, cure in (("sick", "none"), ("cured", "GRU")):
        yield name, [trained(browser, address, cure) for _ in range(rounds)]


def show(name: str, rounds: list[float]) -> None:
    """Print what was measured, beside its limit."""
    kept = "within" if max(rounds) < LIMITS[name] else "above"
    each = " ".join(f"{took:.2f}" for took in rounds)
    middle = statistics.median(rounds)
    print(f"{name:8} {middle:6.2f} s  {kept} {LIMITS[name]:g} s  ({each})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lab")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chromium", default=next(filter(None, map(shutil.which, BROWSERS)), None))
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    args = parser.parse_args()
    if args.chromium is None:
        raise SystemExit(
            "no Chromium on this machine: apt-get install chromium, or --chromium FILE"
        )
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        lab(Path(folder)) as (address, process),
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=args.chromium, args=FLAGS.split())
        opened(browser, address, "#/").context.close()  # the first worker loads torch
        times = {}
        for name, rounds in measure(browser, address, process, args.rounds):
            times[name] = rounds
            show(name, rounds)
        browser.close()
    if args.json:
        command = shlex.join(["python", "-m", "benchmarks.lab", *sys.argv[1:]])
        result = {"command": command, "environment": environment(), "seconds": times}
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
