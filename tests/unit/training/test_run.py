from __future__ import annotations

import errno
import json
import math
import os
import re
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch

from elman import _folders
from elman._errors import CheckpointError, ConfigError, ElmanError
from elman.training import Run, _checkpoint
from elman.training._checkpoint import Checkpoint
from elman.training._config import FORMAT

CONFIG = {"task": "custom", "format": FORMAT, "train": {"epochs": 1}}


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
    with pytest.raises(CheckpointError, match="no checkpoint 'last': the run was stopped before"):
        again.load("last")


def test_force_never_removes_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for path in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ConfigError, match="is not a run folder"):
            Run.create(path, CONFIG, force=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        Run.open(tmp_path)
    (tmp_path / "config.toml").write_text("lr = ")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("line", "version"), [("", None), ("format = 0", 0), ("format = 1", 1), ('format = "2"', "2")]
)
def test_a_run_of_another_format_is_refused(tmp_path: Path, line: str, version: object) -> None:
    (tmp_path / "config.toml").write_text(line)
    message = (
        f"{tmp_path / 'config.toml'}: the run folder's format must be {FORMAT}, got {version!r}: "
        "use the elman version that wrote this run, or train again"
    )
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        Run.open(tmp_path)


def test_checkpoints_by_name(run: Run) -> None:
    run.save("last", checkpoint(2))
    run.save("best", checkpoint(1))
    run.save("last", checkpoint(3))
    assert torch.equal(run.load("last").model["w"], torch.full((2,), 3.0))
    assert torch.equal(run.load("best").model["w"], torch.full((2,), 1.0))
    with pytest.raises(CheckpointError, match="no checkpoint 'lats': use last or best"):
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
        _folders.write(path, content)

    monkeypatch.setattr(_checkpoint, "write", write)
    with pytest.raises(CheckpointError, match=r"No space left .* is intact: make room"):
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


HALF = b'{"event": "start"}\n{"event": "tra'
LINES = [
    (HALF, "line 2: skipped: not a complete line of JSON"),
    (b'{"event": "start"}\n[1, 2]\n', "line 2: skipped: expected an object with the key event"),
    (b'3\n{"event": "start"}\n', "line 1: skipped: expected an object with the key event"),
    (
        b'{"event": "start"}\n{"event": 3}\n',
        "line 2: skipped: expected an object with the key event",
    ),
    (b'{"event": "start"}\n\xff\xfe\n', "line 2: skipped: not a complete line"),
    (b'{"event": "start"}\n' + b"[" * 100_000 + b"\n", "line 2: skipped: nested too deeply"),
]


@pytest.mark.parametrize(("content", "reason"), LINES)
def test_a_line_that_is_no_event_is_named_and_left_out(
    run: Run, content: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    (run.path / "metrics.jsonl").write_bytes(content)
    assert run.events() == [{"event": "start"}]
    assert f"metrics.jsonl, {reason}" in caplog.text


def test_half_a_line_goes_before_another_is_added(run: Run) -> None:
    (run.path / "metrics.jsonl").write_bytes(HALF)
    run.rewind_metrics(10**6)
    run.log({"event": "end"})
    assert [event["event"] for event in run.events()] == ["start", "end"]


def test_a_line_that_cannot_be_written_leaves_no_half(run: Run) -> None:
    run.log({"event": "start"})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"metrics.jsonl: cannot be written: File too"):
            run.log({"event": "x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (run.path / "metrics.jsonl").read_bytes() == b'{"event": "start"}\n'


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.toml", "checkpoints/last/state.json"])
def test_a_fifo_in_its_folder_is_named_and_not_waited_for(run: Run, name: str) -> None:
    run.save("last", checkpoint())
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)

    def used() -> None:
        found = Run.open(run.path)
        found.load("last")
        found.events()

    with pytest.raises(
        CheckpointError, match=rf"{name}: cannot be read: expected a file, got a FIFO"
    ):
        used()
    if name == "metrics.jsonl":
        with pytest.raises(CheckpointError, match=r"metrics.jsonl: cannot be written: .*a FIFO"):
            run.log({"event": "start"})


def vanish(run: Run, how: str) -> None:
    if how == "emptied":
        (run.path / "config.toml").unlink()
        return
    moved = run.path.with_name("elsewhere")
    run.path.rename(moved)
    if how == "deleted":
        shutil.rmtree(moved)
    if how == "replaced":
        shutil.copytree(moved, run.path)


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced", "emptied"])
def test_a_folder_that_is_not_there_any_more(run: Run, how: str) -> None:
    run.save("last", checkpoint())
    run.claim()
    vanish(run, how)
    for use in (
        lambda: run.log({"event": "end"}),
        lambda: run.save("best", checkpoint()),
        lambda: run.load("last"),
    ):
        with pytest.raises(ElmanError, match="was deleted, moved or replaced during") as caught:
            use()
        assert str(run.path) in str(caught.value)
        assert caught.value.exit_code == 1
    if how in ("deleted", "moved"):
        assert not run.path.exists()
