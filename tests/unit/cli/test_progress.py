"""What is said while training: lines off a terminal, a bar on one, JSON, or next to nothing."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from elman.cli._progress import described, facts, reporting

AT = {"epoch": 1, "update": 50, "updates": 200, "seconds": 10.0}
START: dict[str, Any] = {
    **AT,
    "event": "start",
    "update": 0,
    "run": "runs/x-1",
    "seed": 7,
    "device": "cpu",
    "threads": 2,
    "parameters": 12345,
    "resumed": False,
}
TRAIN: dict[str, Any] = {**AT, "event": "train", "nats": 5.25, "tokens_per_second": 4321.0}
VALID: dict[str, Any] = {**AT, "event": "valid", "nats": 5.0, "perplexity": 148.4, "best": True}
READING: dict[str, Any] = {"event": "reading", "what": "train", "done": 5, "total": 20_000_000}


def test_a_line_for_each_kind_of_event() -> None:
    assert described(START) == (
        "run runs/x-1\nseed 7, cpu, 2 threads, 12,345 parameters, 200 updates"
    )
    assert described({**START, "resumed": True, "update": 50}).startswith(
        "run runs/x-1, continued from update 50\n"
    )
    assert "cpu, 1 thread, " in described({**START, "threads": 1})
    assert described(TRAIN) == "  update 50/200  nats 5.250  4,321 tokens/s  0:30 left"
    assert described(VALID) == "epoch 1, update 50: valid nats 5.000  perplexity 148.4  (best)"
    assert described({**AT, "event": "end"}) == ""


def test_reading_is_worth_a_line_when_it_took_time() -> None:
    assert described(READING) == ""
    assert described({**READING, "done": 20_000_000}) == "read train: 20.0 MB"
    assert described({**READING, "done": 9, "total": 9}) == ""


def told(events: list[dict[str, Any]], *, json: bool = False, quiet: bool = False) -> None:
    with reporting(json=json, quiet=quiet) as report:
        for event in events:
            report(event)


def test_off_a_terminal_there_are_lines_and_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    told([READING, START, TRAIN, VALID])
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "".join(described(event) + "\n" for event in (START, TRAIN, VALID))
    assert "\r" not in err
    assert "\x1b" not in err


def test_quiet_leaves_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    told([READING, START, TRAIN, VALID], quiet=True)
    assert capsys.readouterr() == ("", "seed 7\n")


def test_json_is_one_event_a_line_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    told([READING, START, TRAIN, VALID], json=True, quiet=True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [START, TRAIN, VALID]


def test_on_a_terminal_there_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    told([READING, START, {**TRAIN, "update": 100}, VALID, {**TRAIN, "update": 200}])
    err = capsys.readouterr().err
    assert "training" in err
    assert "100%" in err
    assert "4,321 tokens/s" in err
    assert described(VALID) in err


def test_the_bar_is_gone_after_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(KeyError):
        told([TRAIN, {"event": "train"}])
    assert capsys.readouterr().err.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_rows_that_are_cut_are_told_in_a_sentence() -> None:
    longer = {"than": 20, "read": "tail", "train": 1200, "test": 0}
    end = "cut to the last 20: train 1,200, test 0"
    assert list(facts({"longer": longer})) == [f"rows longer than 20 steps, {end}"]
    (pairs,) = facts({"longer": {"than": 9, "train": 3}})
    assert pairs == "rows longer than 9 steps, cut to the first 9: train 3"
    assert longer["read"] == "tail"  # an event is written down after it was shown
