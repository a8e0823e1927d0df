"""The page of `elman lab` in a browser, as a visitor has it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sampling
from browser.conftest import PATIENCE, Lab, Visit, quiet, wait_for
from elman.lab import LESSONS

Visits = Callable[..., Visit]

full = pytest.mark.skipif(not sampling.is_full(), reason="takes long: runs under --full")
SCREENS = ("", "sandbox", *(slug for slug, _ in LESSONS))
LOOKS = [
    (screen, width, scheme)
    for screen in SCREENS
    for width in (390, 1280)
    for scheme in ("light", "dark")
]
FAINT = (Path(__file__).parent / "faint.js").read_text(encoding="utf-8")
SMALL = (Path(__file__).parent / "small.js").read_text(encoding="utf-8")


def begin(visit: Visit, slug: str, settings: str = "") -> None:
    """Open a lesson with its stage."""
    visit.go(f"#/{slug}{settings}")
    if not settings:
        visit.page.click("text=Begin without a guess")
    visit.page.wait_for_selector(".lesson.begun .sheet")


def set_knob(visit: Visit, name: str, value: float | str) -> None:
    """Move a slider as a hand does: by an input event."""
    visit.page.eval_on_selector(
        f"[data-knob={name}] input",
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
        str(value),
    )


def test_home_is_usable_at_once_and_asks_no_other_host(visit: Visits, lab: Lab) -> None:
    home = visit()
    began = time.monotonic()
    page = home.go()
    page.wait_for_selector(".card")
    took = time.monotonic() - began
    host = lab.address.split("/?")[0]
    assert all(url.startswith(host) for url in home.requests)
    assert page.locator(".cards .card").count() == len(LESSONS)
    if quiet():
        assert took < 2


def test_the_ball_flies_and_a_guess_is_measured(visit: Visits) -> None:
    page = visit().go()
    page.wait_for_selector("text=Ten frames later")
    page.click(".box canvas", position={"x": 40, "y": 40})
    page.wait_for_selector(".told:has-text('% of the box away')")


def test_the_flights_are_those_of_the_data_set() -> None:
    """The page has no physics: its flights are elman's own balls, by frames of a quarter."""
    from elman import lab
    from elman.data import records

    file = Path(lab.__file__).parent / "page" / "flights.json"
    flights = json.loads(file.read_text(encoding="utf-8"))
    for seed, path in zip(flights["seeds"], flights["paths"], strict=True):
        (row,) = records("ball", "motion", rows=1, steps=len(path), seed=seed, **flights["box"])
        expected = row.values["positions"][:, 0]
        assert abs(expected - path).max() < 1e-4


@pytest.mark.parametrize(("screen", "width", "scheme"), sampling.cases(LOOKS, 4))
def test_screens_fit_and_can_be_read(
    visit: Visits, screen: str, width: int, scheme: str
) -> None:
    """No sideways scrolling, text of at least 4.5 : 1, and targets of 44 px."""
    each = visit(width=width, color_scheme=scheme)
    each.go(f"#/{screen}")
    each.ready()
    if screen not in ("", "sandbox"):
        each.page.click("text=Begin without a guess")
        each.page.wait_for_selector(".lesson.begun .sheet")
    each.page.wait_for_timeout(500)
    wide, seen = each.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide == seen
    assert each.page.evaluate(FAINT) == []
    assert each.page.evaluate(SMALL) == []


def test_a_refused_setting_is_said_at_its_knob(visit: Visits) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox?cell=elman&init=chrono")
    problem = sandbox.page.locator("[data-knob=init] .problem")
    wait_for(lambda: "chrono" in problem.inner_text())
    sandbox.page.select_option("[data-knob=init] select", "orthogonal")
    sandbox.page.wait_for_selector("text=The gradient")
    assert problem.inner_text() == ""


def verdict(visit: Visit) -> str:
    return visit.page.inner_text(".chart:has(.scrubber) .sentence")


def test_the_same_address_gives_the_same_numbers(visit: Visits) -> None:
    """A reload, and another tab, show the same gradient and the same loss to the last digit."""
    address = "#/sandbox?cell=gru&steps=12&hidden=8&rows=300&updates=20&seed=3"
    seen = []
    for _ in range(2):
        sandbox = visit()
        sandbox.go(address)
        wait_for(lambda: "The gradient" in verdict(sandbox))
        train(sandbox)
        sandbox.page.click(".chart:has(figcaption:has-text('Loss')) button:text-is('Table')")
        table = sandbox.page.inner_text(".chart:has(figcaption:has-text('Loss')) table")
        seen.append((verdict(sandbox), table))
    assert seen[0] == seen[1]


def train(visit: Visit) -> None:
    visit.page.click("button:text-is('Train')")
    visit.page.wait_for_selector(".progress:has-text('Done')")


def test_knobs_stand_in_the_address(visit: Visits) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox")
    set_knob(sandbox, "radius", 1.5)
    assert "radius=1.5" in sandbox.page.evaluate("location.hash")
    sandbox.page.evaluate("location.hash = '#/sandbox?radius=0.5'")
    knob = sandbox.page.locator("[data-knob=radius] output")
    wait_for(lambda: knob.inner_text() == "0.5")


def test_a_plot_follows_a_knob_at_once(visit: Visits) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox?radius=1")
    sandbox.ready()
    wait_for(lambda: "The gradient" in verdict(sandbox))
    before = verdict(sandbox)
    began = time.monotonic()
    set_knob(sandbox, "radius", 0.5)
    wait_for(lambda: verdict(sandbox) != before)
    took = time.monotonic() - began
    assert "vanishes" in verdict(sandbox)
    if quiet():
        assert took < 0.5


def test_stop_ends_a_training_that_can_be_resumed(visit: Visits, lab: Lab) -> None:
    sandbox = visit()
    events: list[str] = []
    sandbox.page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda data: events.append(str(data)))
    )
    sandbox.go("#/sandbox?updates=20000&hidden=8&steps=10&rows=300")
    sandbox.page.click("button:text-is('Train')")
    wait_for(lambda: any('"event": "train"' in event for event in events))
    sandbox.page.click("button:text-is('Stop')")
    sandbox.page.wait_for_selector(".progress:has-text('Stopped')")
    sandbox.page.wait_for_timeout(1000)
    count = len(events)
    sandbox.page.wait_for_timeout(500)
    assert len(events) == count
    command = re.search(r"elman (train .*--resume \S+?)\.?$", sandbox.page.inner_text(".progress"))
    assert command is not None
    if sampling.is_full():
        resumed = [sys.executable, "-m", "elman", *command[1].split(), "--train.max_steps", "400"]
        subprocess.run(resumed, cwd=lab.folder, check=True, timeout=PATIENCE)


def test_a_killed_worker_is_replaced_and_the_knobs_are_kept(visit: Visits, lab: Lab) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox?radius=0.7")
    sandbox.ready()
    wait_for(lambda: "The gradient" in verdict(sandbox))
    sandbox.page.evaluate(
        "new MutationObserver(() => (window.states ??= []).push(worker.dataset.state))"
        ".observe(worker, {attributes: true})"
    )
    os.kill(lab.worker(), signal.SIGKILL)
    wait_for(lambda: "restarting" in (sandbox.page.evaluate("window.states") or []))
    sandbox.ready()
    assert sandbox.page.inner_text("[data-knob=radius] output") == "0.7"
    set_knob(sandbox, "radius", 1.7)
    wait_for(lambda: "explodes" in verdict(sandbox))


def test_a_second_tab_waits_and_is_told_its_place(visit: Visits) -> None:
    first, second = visit(), visit()
    first.go("#/sandbox?updates=20000&hidden=8&steps=10&rows=300")
    first.ready()
    first.page.click("button:text-is('Train')")
    first.page.wait_for_selector(".progress:has-text('update')")
    second.go("#/sandbox?updates=10&hidden=8&steps=10&rows=300&cell=gru")
    second.page.click("button:text-is('Train')")
    second.page.wait_for_selector(".progress:has-text('Waiting: place')")
    first.page.click("button:text-is('Stop')")
    second.page.wait_for_selector(".progress:has-text('Done')")
    assert "gru" not in first.page.inner_text(".attempts")
    assert "elman" not in second.page.inner_text(".attempts")


def test_a_cell_of_ones_own_runs_and_says_where_it_fails(visit: Visits) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox")
    sandbox.ready()
    sandbox.page.click("summary:has-text('A cell of your own')")
    assert "your rights" in sandbox.page.inner_text("#own-warning")
    sandbox.page.click("text=Probe my cell")
    sandbox.page.wait_for_selector(".own .sentence:has-text('Your cell')")
    code = sandbox.page.input_value("#own-code")
    sandbox.page.fill("#own-code", code.replace("torch.sigmoid", "torch.sigmoidal"))
    sandbox.page.click("text=Probe my cell")
    problem = sandbox.page.locator("#own-problem")
    wait_for(lambda: "sigmoidal" in problem.inner_text())
    assert "line 11" in problem.inner_text()


def test_the_sandbox_is_used_by_keyboard_alone(visit: Visits) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox")
    sandbox.ready()
    wait_for(lambda: "The gradient" in verdict(sandbox))
    before = verdict(sandbox)
    keys = sandbox.page.keyboard
    for _ in range(80):
        keys.press("Tab")
        if sandbox.page.evaluate("document.activeElement.name") == "radius":
            break
    for _ in range(8):
        keys.press("ArrowRight")
    wait_for(lambda: verdict(sandbox) != before)
    sandbox.page.focus(".chart:has(.scrubber) .plot")
    keys.press("End")
    readout = sandbox.page.locator(".chart:has(.scrubber) .readout")
    wait_for(lambda: readout.inner_text().startswith("step 30"))
    keys.press("ArrowLeft")
    wait_for(lambda: readout.inner_text().startswith("step 29"))


def test_nothing_moves_for_who_wants_less_motion(visit: Visits) -> None:
    home = visit(reduced_motion="reduce")
    page = home.go()
    page.wait_for_selector(".told:has-text('Ten frames later')")
    frames = []
    for _ in range(3):
        frames.append(page.evaluate("document.querySelector('.box canvas').toDataURL()"))
        page.wait_for_timeout(120)
    assert len(set(frames)) == 1
    assert page.evaluate("document.getAnimations().length") == 0


def test_ten_minutes_of_events_leave_the_page_small_and_whole(browser: Any, lab: Lab) -> None:
    """The events of ten minutes, ten a second, sent as fast as the page takes them."""
    count = sampling.count(full=6000, quick=1500)
    context = browser.new_context()
    page = context.new_page()
    answered: list[int] = []

    def serve(socket: Any) -> None:
        socket.send(json.dumps({"event": "worker", "state": "ready", "message": ""}))

        def receive(text: str) -> None:
            message = json.loads(text)
            if message.get("name") != "sandbox.train":
                return
            answered.append(message["id"])
            start = {"event": "start", "metric": "mse", "updates": count}
            socket.send(json.dumps({"of": message["id"], **start}))
            for update in range(1, count + 1):
                event = {"event": "train", "update": update, "mse": 1 / update}
                socket.send(json.dumps({"of": message["id"], **event}))
            socket.send(json.dumps({"of": message["id"], "event": "end"}))

        socket.on_message(receive)

    page.route_web_socket(re.compile(r"/socket"), serve)
    page.goto(lab.address + "#/sandbox")
    page.click("button:text-is('Train')")
    page.wait_for_selector(f".progress:has-text('update {count:,} of')", timeout=PATIENCE * 1000)
    assert len(answered) == 1
    page.click(".chart:has(figcaption:has-text('Loss')) button:text-is('Table')")
    with page.expect_download() as saved:
        page.click(".chart:has(figcaption:has-text('Loss')) button:text-is('CSV')")
    last = Path(saved.value.path()).read_text(encoding="utf-8").strip().splitlines()[-1]
    assert float(last.split(",")[0]) == count
    assert page.evaluate("performance.memory.usedJSHeapSize") < 150e6
    context.close()
