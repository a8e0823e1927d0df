"""Comparisons as a user types them: whole, stopped and resumed, with a run that diverges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.cli import main
from elman.comparison import Comparison, load

pytestmark = pytest.mark.slow

# Long enough to be stopped in the middle, short enough to wait for.
ASKED = [
    *("compare", "classify", "--data", "parity", "--data.rows", "300", "--data.steps", "40"),
    *("--data.batch", "8", "--model.hidden", "48", "--train.max_steps", "240"),
    *("--train.log_every", "10", "--cells", "elman,wild=gru", "--set", "wild:train.lr=1e39"),
    *("--seeds", "1", "--seed", "3", "--jobs", "2", "--train.threads", "1", "--json", "--quiet"),
]


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "elman.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("whole")
    with started(folder, *ASKED) as process:
        out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    assert "seeds 3" in err
    return folder / "runs/compare-classify-1", objects(out)


def test_the_last_line_is_the_comparison(whole: tuple[Path, list[dict[str, Any]]]) -> None:
    path, events = whole
    assert events[0]["event"] == "plan"
    assert {"train", "valid", "ended"} <= {event["event"] for event in events}
    end = events[-1]
    assert end["event"] == "end"
    kept = Comparison.model_validate_json((path / "table.json").read_bytes())
    assert Comparison.model_validate({k: v for k, v in end.items() if k in kept.model_dump()})
    elman_cell, wild = kept.candidates
    assert abs(elman_cell.parameters / wild.parameters - 1) < 0.05
    assert (path / "table.md").read_text().startswith("# classify: elman, wild")
    assert {file.name for file in (path / "pictures").glob("*.png")} >= {"final.png"}


def test_a_run_that_diverges_is_told_and_stops_nobody(
    whole: tuple[Path, list[dict[str, Any]]],
) -> None:
    elman_cell, wild = load(whole[0]).candidates
    assert [run.status for run in wild.runs] == ["diverged"]
    assert "not finite at update" in wild.runs[0].message
    (run,) = elman_cell.done
    assert run.metrics["test"]["accuracy"] > 0
    assert run.peak_memory is None or run.peak_memory > 10**8


def test_a_run_is_what_train_makes_of_the_same_settings(
    whole: tuple[Path, list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = whole[0] / "runs/elman-3"
    monkeypatch.chdir(tmp_path)
    assert main(["train", "classify", "--config", str(run / "config.toml"), "--json"]) == 0
    end = objects(capsys.readouterr().out)[-1]
    assert end["metrics"] == load(whole[0]).candidates[0].done[0].metrics
    first, second = elman.load(run), elman.load(tmp_path / end["run"])
    for name, weight in first.network.state_dict().items():
        assert weight.equal(second.network.state_dict()[name]), name


def test_a_page_sets_the_cells_side_by_side(tmp_path: Path) -> None:
    asked = [
        *("compare", "regress", "--data.rows", "40", "--data.steps", "6", "--cells", "elman,gru"),
        *("--model.hidden", "4", "--train.max_steps", "2", "--train.threads", "1"),
        *("--seeds", "1", "--jobs", "2", "--json", "--quiet", "--report"),
    ]
    with started(tmp_path, *asked) as process:
        out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    file = tmp_path / objects(out)[-1]["report"]
    assert file == tmp_path / "runs/compare-regress-1/report/report.html"
    page = file.read_text(encoding="utf-8")
    for cell in ("elman-0", "gru-0"):
        assert f"Gates and states, step by step: {cell}" in page
    assert (file.parent / "jacobian.png").exists()


def without_clocks(found: Comparison) -> Any:
    left = found.model_dump(mode="json", exclude={"path", "pictures"})
    for candidate in left["candidates"]:
        for run in candidate["runs"]:
            run.update(seconds=0, peak_memory=0, message=run["message"].partition(";")[0])
    return left


@pytest.mark.slow
def test_stopped_and_resumed_it_comes_to_the_same(
    whole: tuple[Path, list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with started(tmp_path, *ASKED, "--name", "c") as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if (event["event"], event.get("candidate")) == ("train", "elman"):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=250)
    assert process.returncode == 130, err
    assert "To continue: elman compare classify --resume runs/c-1" in err
    path = tmp_path / "runs/c-1"
    assert not load(path).candidates[0].runs
    elman.load(path / "runs/elman-3", "last")

    monkeypatch.chdir(tmp_path)
    assert main(["compare", "classify", "--resume", "runs/c-1", "--json"]) == 0
    begun = [
        e
        for e in objects(capsys.readouterr().out)
        if e["event"] == "start" and e["candidate"] == "elman"
    ]
    assert begun[0]["resumed"]
    assert without_clocks(load(path)) == without_clocks(load(whole[0]))


@pytest.mark.slow
def test_a_process_that_dies_is_told_and_tried_again(
    whole: tuple[Path, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = whole[0]
    (path / "outcomes/elman-3.json").unlink()
    tokens = path / "runs/elman-3/task.json"
    kept = tokens.read_bytes()
    tokens.write_text("{}")
    resume = ["compare", "classify", "--resume", str(path), "--quiet"]
    assert main(resume) == 1
    assert "elman seed 3: " in capsys.readouterr().err
    tokens.write_bytes(kept)
    assert main(resume) == 0
    assert "this run" not in capsys.readouterr().out
    assert main([*resume, "--model.hidden", "9"]) == 2
    assert main(["compare", "regress", "--resume", str(path)]) == 2
    assert "is a comparison on classify, not on regress" in capsys.readouterr().err
