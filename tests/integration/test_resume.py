"""A run that was stopped, at any moment, ends with the very weights of one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    worker = Path(__file__).with_name("resume_worker.py")
    done = subprocess.run(
        [sys.executable, str(worker), str(tmp_path_factory.mktemp("runs"))],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_run_went_through_all_that_can_be_interrupted(outcomes: Any) -> None:
    names = [event["event"] for event in outcomes["whole"]["events"]]
    assert names[0] == "train"
    assert names[-1] == "end"
    assert names.count("valid") == 4
    assert any(event["update"] % 9 > 0 for event in outcomes["whole"]["events"])


def test_a_finished_run_resumes_to_itself(outcomes: Any) -> None:
    assert outcomes["finished"] == outcomes["whole"]


@pytest.mark.parametrize("number", [0, 1])
def test_after_a_signal_it_saves_at_once_and_resumes(outcomes: Any, number: int) -> None:
    got, whole = outcomes["signaled"][number], outcomes["whole"]
    assert (got["code"], got["resumed"]) == (130, 0)
    assert got["saved"] == (3, 12)[number]  # the update in which the signal came
    assert got["hash"] == whole["hash"]
    assert got["events"] == whole["events"]


def test_after_kill_9_at_any_moment_of_a_save_it_resumes(outcomes: Any) -> None:
    whole, killed = outcomes["whole"], outcomes["killed"]
    assert len(killed) > 20  # moments: half a file, before each sync, rename and removal
    assert {case["code"] for case in killed} == {-9}
    for case in killed:
        shown = (case["moment"], case["left"])
        assert case["resumed"] == 0, shown
        assert case["hash"] == whole["hash"], shown
        assert case["events"] == whole["events"], shown


def test_kills_left_each_stage_of_a_replacement_behind(outcomes: Any) -> None:
    stages = {name for case in outcomes["killed"] for name in case["left"]}
    assert stages >= {"last", "last.partial", "last.ready", "last.old", "best.partial"}
    assert any("last" not in case["left"] for case in outcomes["killed"])
