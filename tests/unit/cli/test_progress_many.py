"""What is said while a comparison trains."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from elman.cli._progress_many import lines, reporting_many

PLAN: dict[str, Any] = {
    "event": "plan",
    "path": "runs/c-1",
    "seeds": [0, 1],
    "jobs": 2,
    "threads": 1,
    "equal": "parameters",
    "target": 1200,
    "candidates": [{"name": "gru", "hidden": 9, "parameters": 1210}],
}
WHO = {"candidate": "gru", "seed": 1}
AT = {"epoch": 1, "update": 50, "updates": 200, "seconds": 10.0, **WHO}
START = {"event": "start", "resumed": False, **AT, "update": 0}
TRAIN = {"event": "train", "nats": 5.25, "tokens_per_second": 4321.0, **AT}
VALID = {"event": "valid", "nats": 5.0, "best": True, **AT}
ENDED = {"event": "ended", "status": "diverged", "message": "it grew", **WHO}


def test_each_line_says_whose_it_is() -> None:
    assert lines(START) == ["gru seed 1: started, 200 updates"]
    assert lines({**START, "resumed": True, "update": 50}) == [
        "gru seed 1: started at update 50, 200 updates"
    ]
    assert lines(TRAIN) == ["gru seed 1: update 50/200  nats 5.250  4,321 tokens/s  0:30 left"]
    assert lines(VALID) == ["gru seed 1: epoch 1, update 50: valid nats 5.000  (best)"]
    assert lines(ENDED) == ["gru seed 1: diverged it grew"]
    assert lines({**ENDED, "status": "done", "message": ""}) == ["gru seed 1: done"]
    assert lines({"event": "end", **WHO}) == []


def test_the_plan_says_sizes_and_seeds() -> None:
    said = "\n".join(lines(PLAN))
    assert "equal parameters (1,200)" in said
    assert "seeds 0, 1;" in said
    assert "gru       9       1,210" in said


def told(*, json: bool = False, quiet: bool = False) -> None:
    with reporting_many(json=json, quiet=quiet) as report:
        for event in (PLAN, START, TRAIN, VALID, ENDED):
            report(event)


def test_quiet_leaves_the_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    told(quiet=True)
    assert capsys.readouterr() == ("", "seeds 0, 1\n")


def test_json_is_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    told(json=True, quiet=True)
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_on_a_terminal_there_is_one_display(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    told()
    out, err = capsys.readouterr()
    assert out == ""
    assert "runs" in err
    assert "gru seed 1: diverged it grew" in err
