"""A lab that runs answers asks, one at a time, and outlives what is done to it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from contextlib import closing
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import sampling
from elman.lab import _limits
from elman.lab._own_cell import EXAMPLE
from elman.training import Run, resume
from unit.lab.conftest import Lab, Tab, wait_for

pytestmark = pytest.mark.slow

CELL = """
import os, signal, time
import elman, torch
{}
class Mine(elman.cells.PointwiseCell):
    gates, states = ("z",), ("h",)

    def pointwise(self, inp, rec, state):
        {}
        return self.State(h=torch.sin(inp.z + rec.z))
"""
SMALL = {"hidden": 4, "steps": 5}


def test_a_probe_is_the_same_for_the_same_seed(tab: Tab) -> None:
    first, end = tab.answer("sandbox.probe", radius=0.5, seed=3)
    again, _ = tab.answer("sandbox.probe", radius=0.5, seed=3)
    other, _ = tab.answer("sandbox.probe", radius=0.5, seed=4)
    assert first["gradient"] == again["gradient"] != other["gradient"]
    assert end["event"] == "end"
    assert first["verdict"] == "vanishes"
    assert len(first["states"]["h"]) == 32


@pytest.mark.parametrize(
    ("name", "settings", "where", "said"),
    [
        ("sandbox.probe", {"hidden": -1}, "hidden", "greater than or equal to 1, got -1"),
        ("sandbox.probe", {"hiden": 8}, "hiden", "did you mean 'hidden'?"),
        ("sandbox.probe", {"radius": float("inf")}, "radius", "finite number"),
        ("sandbox.probe", {"cell": "lstm", "activation": "relu"}, "activation", "no activation"),
        ("sandbox.train", {"updates": 10**9}, "updates", "less than or equal to 20000"),
        ("sandbox.train", {"data": "text"}, "file", "expected the path of a file"),
        ("sandbox.train", {"init": "chrono"}, "init", "needs a gate that keeps the old state"),
        ("sandbox.train", {"data": "text", "file": "f.txt", "k2": 2}, "k2", "at least k1 = 32"),
        ("sandbox.train", {"cell": "else.py:Where"}, "cell", "is not loaded"),
        ("sandbox.steal", {}, "", "unknown ask"),
        ("run.open", {"run": "../../etc"}, "run", "no run '../../etc'"),
        ("own_cell.probe", {"code": "x = ("}, "code", "line 1: '(' was never closed"),
        ("own_cell.probe", {"code": "x = 1"}, "code", "expected a class"),
    ],
)
def test_settings_out_of_range_are_refused_at_their_field(
    tab: Tab, name: str, settings: dict[str, Any], where: str, said: str
) -> None:
    *_, error = tab.answer(name, **settings)
    assert (error["event"], error["where"]) == ("error", where)
    assert said in error["message"]


def test_messages_that_are_none_are_answered_and_end_nothing(lab: Lab, tab: Tab) -> None:
    for text in ("", "{", "[" * 30_000, "null", '{"do": "ask"}', '{"do": "rm", "id": 1}'):
        tab.socket.send(text)
        assert tab.receive()["event"] == "error"
    for odd in (b"\x00\xff", "x" * 70_000):
        other = lab.tab()
        other.socket.send(odd)
        with pytest.raises(ConnectionClosed):
            other.until(-1)
    assert tab.answer("sandbox.probe", **SMALL)[-1]["event"] == "end"


@pytest.mark.parametrize(
    "changed",
    [
        {"token": ""},
        {"token": "wrong"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": None},
        {"origin": "http://127.0.0.1:1"},
    ],
)
def test_another_page_gets_no_connection(lab: Lab, changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidStatus) as error:
        lab.tab(**changed)
    assert error.value.response.status_code == 403


def test_a_thousand_connections_leave_room_for_the_page(lab: Lab, tab: Tab) -> None:
    idle = [socket.create_connection(("127.0.0.1", lab.port)) for _ in range(1000)]
    tabs = [lab.tab() for _ in range(40)]
    try:
        for one in tabs[31:]:
            with pytest.raises(ConnectionClosed) as error:
                one.until(-1)
            assert error.value.rcvd is not None
            assert error.value.rcvd.code == 1013
            assert "close some" in error.value.rcvd.reason
        assert lab.get("/lessons").status_code == 200
        assert tab.answer("sandbox.probe", **SMALL)[-1]["event"] == "end"
    finally:
        for one in tabs:
            one.socket.close()
        for each in idle:
            each.close()


def test_a_second_tab_waits_with_its_place_and_nothing_mixes(lab: Lab, tab: Tab) -> None:
    other = lab.tab()
    with closing(other.socket):
        long = tab.ask("sandbox.train", updates=5000, rows=100, hidden=4, steps=5)
        tab.until(long, "start")
        waiting = other.ask("sandbox.probe", **SMALL)
        assert other.until(waiting, "queued")[-1]["place"] == 1
        tab.send(do="stop", id=long)
        assert tab.until(long)[-1]["event"] == "stopped"
        assert [e["event"] for e in other.until(waiting)] == ["probe", "end"]


def test_a_later_ask_of_a_name_takes_the_place_of_the_earlier(tab: Tab) -> None:
    first = tab.ask("sandbox.train", updates=5000, rows=100, hidden=4, steps=5)
    tab.until(first, "start")
    second = tab.ask("sandbox.train", updates=1, rows=100, hidden=4, steps=5)
    assert tab.until(first)[-1]["event"] == "stopped"
    assert tab.until(second)[-1]["event"] == "end"


def test_a_training_that_is_stopped_can_be_resumed(lab: Lab, tab: Tab) -> None:
    of = tab.ask("sandbox.train", cell="gru", updates=20_000, rows=100, hidden=4, steps=5)
    tab.until(of, "train")
    begun = time.monotonic()
    tab.send(do="stop", id=of)
    stopped = tab.until(of)[-1]
    assert stopped["event"] == "stopped"
    assert time.monotonic() - begun < 10  # one second on a machine of its own
    assert stopped["resume"][:3] == ["train", "regress", "--resume"]
    run = Run.open(lab.directory / os.path.basename(stopped["resume"][3]))  # noqa: PTH119
    update = run.events()[-1]["update"]
    result = resume(run.path, {"max_steps": update + 2})
    assert result.run.events()[-1]["event"] == "end"


def test_a_worker_that_is_killed_is_replaced(lab: Lab, tab: Tab) -> None:
    nursery, workers = lab.processes()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert tab.answer("sandbox.probe", **SMALL)[-1]["event"] == "end"
    assert "restarting" in tab.worker
    assert lab.processes()[0] == nursery
    assert not set(workers) & set(lab.processes()[1])


def test_an_ask_whose_worker_is_killed_says_so(lab: Lab, tab: Tab) -> None:
    of = tab.ask("sandbox.train", updates=20_000, rows=100, hidden=4, steps=5)
    tab.until(of, "train")
    for worker in lab.processes()[1]:
        os.kill(worker, signal.SIGKILL)
    error = tab.until(of)[-1]
    assert error["event"] == "error"
    assert "ask again" in error["message"]


def test_typed_code_is_measured(tab: Tab) -> None:
    found, end = tab.answer("own_cell.probe", code=EXAMPLE, **SMALL)
    assert len(found["gradient"]) == 5
    assert list(found["gates"]) == ["a"]
    assert end["event"] == "end"
    *_, error = tab.answer("own_cell.probe", code=CELL.format("", "state.nothing"), **SMALL)
    assert (error["where"], "line 9: AttributeError" in error["message"]) == ("code", True)


HOSTILE = {
    "a loop": ("while True: pass", "", "10 seconds"),
    "a loop in a step": ("", "while True: pass", "10 seconds"),
    "a loop that hears no signal": (
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)",
        "",
        "10 seconds",
    ),
    "a fork": ("while True: os.fork()", "", "Operation not permitted"),
    "a fork bomb": (
        "while True:\n    try: os.fork()\n    except OSError: pass",
        "",
        "10 seconds",
    ),
    "a process": ("os.posix_spawn('/bin/sleep', ['sleep', '60'], {})", "", "not permitted"),
    "memory": ("x = bytearray(3 * 1024**3)", "", "MemoryError"),
    "a large tensor": ("", "torch.empty(3 * 1024**3, dtype=torch.uint8)", "out of memory"),
    "an end": ("os._exit(0)", "", "ended its process"),
    "a kill": ("os.kill(os.getppid(), 9)", "", "not permitted"),
    "wider limits": (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "",
        "maximum limit",
    ),
    "a connection": ("import socket\nsocket.socket()", "", "not permitted"),
    "false events": (
        "for f in range(3, 64):\n    try: os.write(f, b'{}\\n')\n    except OSError: pass",
        "",
        "ended its process",
    ),
}


@pytest.mark.parametrize("hostile", sampling.cases([*HOSTILE], 4))
def test_hostile_code_ends_with_a_message(
    hostile: str, lab: Lab, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_limits, "SECONDS", 2)  # in the server: when it is interrupted and killed
    top, step, said = HOSTILE[hostile]
    *_, error = tab.answer("own_cell.probe", code=CELL.format(top, step), **SMALL)
    assert error["event"] == "error"
    assert said in error["message"]
    assert tab.answer("sandbox.probe", **SMALL)[-1]["event"] == "end"
    wait_for(lambda: len(lab.processes()[1]) <= 2)  # the worker, and one for the next typed code


def test_typed_training_that_takes_too_long_is_saved(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_limits, "SECONDS", 6)
    slow = EXAMPLE.replace(
        "        a = torch", "        __import__('time').sleep(0.005)\n        a = torch"
    )
    small = {"rows": 60, "steps": 3, "hidden": 4, "updates": 2000}
    *events, error = tab.answer("own_cell.train", code=slow, **small)
    assert [event for event in events if event["event"] == "train"]
    assert error["event"] == "error"
    assert re.match(r"typed code has \d+ seconds, .*; saved in \S+lab-\d+$", error["message"])


def test_an_event_holds_no_infinity(tab: Tab) -> None:
    tab.ask("sandbox.probe", activation="identity", radius=4, steps=256)
    text = tab.socket.recv(timeout=60)
    assert "Infinity" not in str(text)
    assert "NaN" not in str(text)
    json.loads(text)


def test_a_nursery_that_is_killed_is_replaced(lab: Lab, tab: Tab) -> None:
    nursery, _ = lab.processes()
    os.kill(nursery, signal.SIGKILL)
    assert tab.answer("sandbox.probe", **SMALL)[-1]["event"] == "end"
    assert lab.processes()[0] != nursery
