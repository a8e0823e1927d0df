from __future__ import annotations

import errno
import json
import math
from pathlib import Path

import pytest
import torch

from elman._errors import CheckpointError, ConfigError
from elman.train import Run, _checkpoint, _folder
from elman.train._checkpoint import Checkpoint

CONFIG = {"task": "custom", "format": 1, "train": {"epochs": 1}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", CONFIG)


def checkpoint(value: float = 1.0, size: int = 2) -> Checkpoint:
    return Checkpoint({"w": torch.full((size,), value)}, progress={"update": int(value)})


def test_a_run_opens_as_it_was_made(run: Run) -> None:
    assert Run.open(run.path).config == CONFIG


def test_numbers_go_on_from_the_highest(tmp_path: Path) -> None:
    names = [Run.create_next(tmp_path, "lm", CONFIG).path.name for _ in range(2)]
    (tmp_path / "lm-9").mkdir()
    (tmp_path / "lm-x").mkdir()
    (tmp_path / "other-50").mkdir()
    names.append(Run.create_next(tmp_path, "lm", CONFIG).path.name)
    assert names == ["lm-1", "lm-2", "lm-10"]


def test_a_run_is_not_overwritten_unless_forced(run: Run) -> None:
    run.save("last", checkpoint())
    with pytest.raises(ConfigError, match="this run exists"):
        Run.create(run.path, CONFIG)
    assert run.load("last").progress["update"] == 1
    again = Run.create(run.path, CONFIG, force=True)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        again.load("last")


def test_force_never_removes_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for path in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ConfigError, match="no run folder"):
            Run.create(path, CONFIG, force=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        Run.open(tmp_path)
    (tmp_path / "config.toml").write_text("lr = ")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Run.open(tmp_path)


@pytest.mark.parametrize("line", ["", "format = 2", 'format = "1"'])
def test_a_run_of_another_version_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.toml").write_text(line)
    with pytest.raises(CheckpointError, match="format 1 was expected"):
        Run.open(tmp_path)


def test_checkpoints_by_name(run: Run) -> None:
    run.save("last", checkpoint(2))
    run.save("best", checkpoint(1))
    run.save("last", checkpoint(3))
    assert torch.equal(run.load("last").model["w"], torch.full((2,), 3.0))
    assert torch.equal(run.load("best").model["w"], torch.full((2,), 1.0))
    with pytest.raises(CheckpointError, match="has no checkpoint 'lats'"):
        run.load("lats")


@pytest.mark.parametrize("writes", range(4))
def test_a_full_disk_leaves_the_checkpoint_before(
    run: Run, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.save("last", checkpoint(1))
    done = []

    def write(path: Path, content: bytes) -> None:
        if len(done) == writes:
            path.write_bytes(content[:5])
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(path)
        _folder.write(path, content)

    monkeypatch.setattr(_checkpoint, "write", write)
    with pytest.raises(CheckpointError, match=r"No space left .* is unharmed: make room"):
        run.save("last", checkpoint(2))
    assert run.load("last").progress["update"] == 1
    assert [entry.name for entry in (run.path / "checkpoints").iterdir()] == ["last"]


def test_events_are_lines_and_numbers_that_json_lacks_are_null(run: Run) -> None:
    run.log({"event": "valid", "nats": math.nan, "metrics": {"perplexity": math.inf, "n": 3}})
    run.log({"event": "end"})
    text = (run.path / "metrics.jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == run.events()
    assert run.events()[0]["metrics"] == {"perplexity": None, "n": 3}
    assert run.events()[0]["nats"] is None


def test_metrics_go_back_to_where_a_checkpoint_was(run: Run) -> None:
    run.log({"event": "one"})
    run.save("last", checkpoint())
    run.log({"event": "two"})
    size = run.load("last").progress["metrics_bytes"]
    run.rewind_metrics(size)
    run.log({"event": "three"})
    assert [event["event"] for event in run.events()] == ["one", "three"]
    run.rewind_metrics(10**6)  # never longer than it is
    assert len(run.events()) == 2
