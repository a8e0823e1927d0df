"""The page of `elman lab` in a browser, as a visitor has it.

What a lab must hold, and the test that holds it; ``python -m benchmarks.lab`` measures its times.

1. Usable, no complaint, no other host: test_home_is_usable_and_asks_no_other_host, and `visit`.
2. Fits, readable: test_screens_fit_and_can_be_read, test_a_run_fits_and_can_be_read.
3. Lesson 5 is the library: test_the_gradient_of_lesson_five_is_that_of_the_library.
4. Knob to plot: test_a_plot_follows_a_knob; its time, 0.5 s.
5. Sick and cured: test_the_cures_of_lesson_seven_work_as_they_claim; their times, 20 s each.
6. Terms and autograd: test_the_terms_of_lesson_four_add_up_to_autograd.
7. Stop and resume: test_stop_ends_a_training_that_can_be_resumed.
8. A killed worker: test_a_killed_worker_is_replaced_and_the_knobs_are_kept; its time, 5 s.
9. The same digits: test_the_same_address_gives_the_same_numbers.
10. Two tabs: test_a_second_tab_waits_and_is_told_its_place.
11. A bad setting: test_a_refused_setting_is_said_at_its_knob.
12. Exports: test_an_exported_lesson_opens_from_its_file_alone, in test_exports.py.
13. Keyboard, aria-live: test_lesson_five_is_done_by_keyboard_alone.
14. Less motion: test_nothing_moves_for_who_wants_less_motion.
15. A long stream: test_ten_minutes_of_events_leave_the_page_small_and_whole.
16. A run: test_a_run_shows_its_measures_to_the_digit.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sampling
from browser.conftest import PATIENCE, Lab, Visit, wait_for
from elman.lab import LESSONS
from elman.reporting import MEASURES_FILE

Visits = Callable[..., Visit]
pytestmark = pytest.mark.timeout(900)

SCREENS = ("", "sandbox", *(slug for slug, _ in LESSONS))
LOOKS = [
    (screen, width, scheme)
    for screen in SCREENS
    for width in (390, 1280)
    for scheme in ("light", "dark")
]
FAINT = (Path(__file__).parent / "faint.js").read_text(encoding="utf-8")
CUT_OFF = """[...document.querySelectorAll("math[display=block]")]
    .filter((math) => math.scrollWidth > math.clientWidth + 1)
    .filter((math) => (math.scrollLeft = 9) !== math.scrollLeft).map((math) => math.textContent)"""
"""Formulas that are wider than the page, and cannot be scrolled."""
SMALL = (Path(__file__).parent / "small.js").read_text(encoding="utf-8")


def test_home_is_usable_and_asks_no_other_host(visit: Visits, lab: Lab) -> None:
    home = visit()
    page = home.go()
    page.wait_for_selector(".card")
    host = lab.address.split("/?")[0]
    assert all(url.startswith(host) for url in home.requests)
    assert page.locator(".cards .card").count() == len(LESSONS)


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
def test_screens_fit_and_can_be_read(visit: Visits, screen: str, width: int, scheme: str) -> None:
    """No sideways scrolling, text of at least 4.5 : 1, and targets of 44 px."""
    each = visit(width=width, color_scheme=scheme)
    if screen in ("", "sandbox"):
        each.go(f"#/{screen}")
    else:
        each.begin(screen)
    each.ready()
    each.page.wait_for_timeout(500)
    wide, seen = each.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide == seen
    assert each.page.evaluate(FAINT) == []
    assert each.page.evaluate(SMALL) == []
    assert each.page.evaluate(CUT_OFF) == []


def test_a_refused_setting_is_said_at_its_knob(visit: Visits) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox?cell=elman&init=chrono")
    problem = sandbox.page.locator("[data-knob=init] .problem")
    wait_for(lambda: "chrono" in problem.inner_text())
    sandbox.page.select_option("[data-knob=init] select", "orthogonal")
    sandbox.page.wait_for_selector("text=The gradient")
    assert problem.inner_text() == ""


def test_a_setting_out_of_range_is_said_at_its_knob_and_ends_nothing(visit: Visits) -> None:
    """The knobs keep to the bounds, so the range of this one is widened by hand."""
    sandbox = visit()
    sandbox.go("#/sandbox")
    wait_for(lambda: "The gradient" in verdict(sandbox))
    sandbox.page.eval_on_selector("[data-knob=seed] input", "input => { input.min = -9 }")
    sandbox.turn("seed", -1)
    problem = sandbox.page.locator("[data-knob=seed] .problem")
    wait_for(lambda: "greater than or equal to 0, got -1" in problem.inner_text())
    sandbox.turn("seed", 1)
    wait_for(lambda: problem.inner_text() == "" and bool(sandbox.latest("probe")))


def test_steps_move_the_pictures(visit: Visits) -> None:
    """An update, ten more, and a turned knob, which begins another run."""
    sandbox = visit()
    page = sandbox.go("#/sandbox?rows=200&hidden=8&steps=12&updates=50")
    wait_for(lambda: "The gradient" in verdict(sandbox))
    page.click("button:text-is('Step')")
    page.wait_for_selector(".progress:has-text('Paused: update 1 of 50')")
    wait_for(lambda: verdict(sandbox).startswith("After update 1 "))
    page.select_option(".stepper select", "10")
    page.click("button:text-is('Step')")
    page.wait_for_selector(".progress:has-text('Paused: update 11 of 50')")
    wait_for(lambda: verdict(sandbox).startswith("After update 11 "))
    network = sandbox.latest("network")
    assert len(network["gradient"]) == len(network["states"]["h"][0]) == 12
    assert page.locator(".attempts li").count() == 1
    loss = page.locator(".chart:has(figcaption:has-text('Loss'))")
    loss.locator(".plot").focus()
    page.keyboard.press("End")
    wait_for(lambda: loss.locator(".readout").inner_text().startswith("update 11:"))
    sandbox.turn("hidden", 0)  # its least place
    wait_for(lambda: "The gradient" in verdict(sandbox))
    page.click("button:text-is('Step')")
    page.wait_for_selector(".progress:has-text('Paused: update 10 of 50')")
    assert page.locator(".attempts li").count() == 2


def verdict(visit: Visit) -> str:
    return visit.page.inner_text(".chart:has(.scrubber) .sentence")


def test_the_same_address_gives_the_same_numbers(visit: Visits) -> None:
    """A reload, and another tab, show the same gradient and the same loss to the last digit."""
    address = "#/sandbox?cell=gru&steps=12&hidden=8&rows=300&updates=20&seed=3"

    def seen() -> tuple[str, str]:
        sandbox = visit()
        sandbox.go(address)
        wait_for(lambda: "The gradient" in verdict(sandbox))
        train(sandbox)
        wait_for(lambda: verdict(sandbox).startswith("After update 20 "))  # drawn a frame later
        sandbox.page.click(".chart:has(figcaption:has-text('Loss')) button:text-is('Table')")
        table = sandbox.page.inner_text(".chart:has(figcaption:has-text('Loss')) table")
        return verdict(sandbox), table

    assert seen() == seen()


def train(visit: Visit) -> None:
    visit.page.click("button:text-is('Train')")
    visit.page.wait_for_selector(".progress:has-text('Done')")


def test_knobs_stand_in_the_address(visit: Visits) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox")
    sandbox.turn("radius", 1.5)
    assert "radius=1.5" in sandbox.page.evaluate("location.hash")
    sandbox.page.evaluate("location.hash = '#/sandbox?radius=0.5'")
    knob = sandbox.page.locator("[data-knob=radius] output")
    wait_for(lambda: knob.inner_text() == "0.5")


def test_a_plot_follows_a_knob(visit: Visits) -> None:
    sandbox = visit()
    sandbox.go("#/sandbox?radius=1")
    sandbox.ready()
    wait_for(lambda: "The gradient" in verdict(sandbox))
    before = verdict(sandbox)
    sandbox.turn("radius", 0.5)
    wait_for(lambda: verdict(sandbox) != before)
    assert "vanishes" in verdict(sandbox)


def test_stop_ends_a_training_that_can_be_resumed(visit: Visits, lab: Lab) -> None:
    sandbox = visit()
    events = sandbox.events
    sandbox.go("#/sandbox?updates=20000&hidden=8&steps=10&rows=300")
    sandbox.page.click("button:text-is('Train')")
    wait_for(lambda: bool(sandbox.latest("train")))
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
    for worker in lab.workers():
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: bool(sandbox.page.evaluate("window.states")))
    sandbox.ready()
    assert sandbox.page.inner_text("[data-knob=radius] output") == "0.7"
    assert "vanishes" in verdict(sandbox)
    sandbox.turn("radius", 1.7)
    wait_for(lambda: "vanishes" not in verdict(sandbox))


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


def test_a_cell_of_ones_own_takes_steps_while_its_code_stands(visit: Visits) -> None:
    sandbox = visit()
    page = sandbox.go("#/sandbox?rows=200&hidden=8&steps=12&updates=50")
    wait_for(lambda: "The gradient" in verdict(sandbox))
    page.click("summary:has-text('A cell of your own')")
    for update in (1, 2):
        page.click("text=Step my cell")
        page.wait_for_selector(f".progress:has-text('Paused: update {update} of 50')")
    wait_for(lambda: verdict(sandbox).startswith("After update 2 "))
    page.fill("#own-code", page.input_value("#own-code") + "# changed")
    page.click("text=Step my cell")
    page.wait_for_selector(".progress:has-text('Paused: update 1 of 50')")
    assert page.locator(".attempts li").count() == 2
    page.click("button:text-is('Step')")  # of a built-in cell: another attempt
    page.wait_for_selector(".attempts li:nth-child(3)")
    page.wait_for_selector(".progress:has-text('Paused: update 1 of 50')")


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


ANIMALS = ("cat", "dog", "cow", "hen", "fox")
TEXT = "".join(f"the {a} saw the {b} and the {a} ran .\n" for a in ANIMALS for b in ANIMALS)


@pytest.fixture(scope="module")
def language(lab: Lab) -> Path:
    """A language model, trained for a moment, with its measures."""
    (lab.folder / "animals.txt").write_text(TEXT * 20, encoding="utf-8")
    train = "train language animals.txt --model.hidden 16 --model.embedding 8 --train.max_steps 40"
    for command in (f"{train} --name animals --no-baselines", "flow runs/animals-1"):
        subprocess.run(
            [sys.executable, "-m", "elman", *command.split()], cwd=lab.folder, check=True
        )
    return lab.folder / "runs" / "animals-1"


def test_a_run_shows_its_measures_to_the_digit(visit: Visits, language: Path) -> None:
    """The value under the pointer is that of flow.json, and a downloaded table can be read."""
    run = visit()
    page = run.go("#/run/animals-1")
    heat = page.locator("section:has-text('Measured by elman flow') .chart").last
    heat.locator(".plot").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    read = heat.locator(".readout").inner_text()
    (layer, *_) = json.loads((language / MEASURES_FILE).read_text(encoding="utf-8"))["layers"]
    shown = re.fullmatch(r"unit (\d+), word (\S+): (\S+) (\S+)", read)
    assert shown is not None
    name, value = shown[3], float(shown[4].replace("−", "-"))
    assert int(shown[1]) == layer["units"][0]
    assert shown[2] == layer["words"][1]
    assert value == pytest.approx(layer["maps"][name][1][0], rel=0.01, abs=1e-3)
    with page.expect_download() as saved:
        heat.locator("button:text-is('CSV')").click()
    rows = list(csv.reader(Path(saved.value.path()).read_text(encoding="utf-8").splitlines()))
    assert float(rows[1][2]) == pytest.approx(layer["maps"][name][1][0])


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_a_run_fits_and_can_be_read(visit: Visits, language: Path, width: int, scheme: str) -> None:
    """A unit that is clicked is shown where it is highest; with that the page still fits."""
    run = visit(width=width, color_scheme=scheme)
    page = run.go("#/run/animals-1")
    heat = page.locator(".chart:has(figcaption:has-text('gate of'))").first
    heat.locator("canvas").wait_for()
    heat.locator(".plot").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_selector(".places mark")
    places = run.latest("places")["places"]
    assert len(places) == 10
    assert [each["value"] for each in places] == sorted((p["value"] for p in places), reverse=True)
    assert page.locator(".places mark >> nth=0").inner_text() == places[0]["word"]
    wide, seen = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide == seen
    assert page.evaluate(FAINT) == []
    assert page.evaluate(SMALL) == []


def test_the_remedies_of_a_sick_run_are_tried(visit: Visits, lab: Lab) -> None:
    """Its rate is far too high; the doctor says so, and a trial with a lower one is better."""
    train = (
        "train regress --data adding --data.rows 200 --data.steps 8 --model.hidden 6 --name sick "
        "--train.max_steps 40 --train.lr 30 --train.clip none --no-baselines"
    )
    command = [sys.executable, "-m", "elman", *train.split()]
    subprocess.run(command, cwd=lab.folder, check=True, timeout=PATIENCE)
    run = visit()
    page = run.go("#/run/sick-1")
    page.click("button:text-is('Ask the doctor')")
    finding = page.locator(".finding:has(h3:has-text('E-LR'))")
    finding.locator("button:text-is('Try')").click()
    finding.locator("[role=status]:has-text('Training 1 of')").wait_for()
    wait_for(lambda: finding.locator("button:text-is('Try')").is_enabled())
    results = finding.locator("[role=status] li").all_inner_texts()
    assert results[0].startswith("unchanged: mse ")
    better = [result for result in results[1:] if ", better" in result]
    assert better
    (flags,) = re.findall(r"--train\.lr \S+", better[0])
    legend = page.locator(".chart:has(figcaption:text-is('mse')) .legend")
    assert f"{flags}: validation" in legend.inner_text()


def test_a_sentence_of_ones_own_is_continued_as_one_types(visit: Visits, language: Path) -> None:
    run = visit()
    page = run.go("#/run/animals-1")
    page.fill("#own-sentence", "the cat saw the")
    words = page.locator(".chart:has(figcaption:text-is('Next words')) .sentence")
    wait_for(lambda: words.count() == 1 and "the cat saw the" in words.inner_text())
    before = words.inner_text()
    page.fill("#own-sentence", "the cat saw the dog")
    wait_for(lambda: words.inner_text() != before)


def test_ten_minutes_of_events_leave_the_page_small_and_whole(browser: Any, lab: Lab) -> None:
    """The events of ten minutes, ten a second, sent as fast as the page takes them."""
    count = sampling.count(full=6000, quick=1500)
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
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
    page.wait_for_selector(f".progress:has-text('update {count:,} of')")
    assert len(answered) == 1
    page.click(".chart:has(figcaption:has-text('Loss')) button:text-is('Table')")
    with page.expect_download() as saved:
        page.click(".chart:has(figcaption:has-text('Loss')) button:text-is('CSV')")
    last = Path(saved.value.path()).read_text(encoding="utf-8").strip().splitlines()[-1]
    assert float(last.split(",")[0]) == count
    assert page.evaluate("performance.memory.usedJSHeapSize") < 150e6
    context.close()
