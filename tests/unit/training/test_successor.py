"""A run that replaces another: the old one stays until the new one counts, whatever happens."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from elman._claim import Claim
from elman._errors import ConfigError
from elman._folders import beside, check_run_name, next_folder
from elman.training import Run
from elman.training._checkpoint import Checkpoint
from elman.training._config import FORMAT
from elman.training._successor import recover

CONFIG = {"task": "custom", "format": FORMAT, "train": {"epochs": 1}}
NEW = {**CONFIG, "train": {"epochs": 2}}


def checkpoint(update: int) -> Checkpoint:
    return Checkpoint({"w": torch.zeros(2)}, progress={"update": update})


@pytest.fixture
def old(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "run-1", CONFIG)
    run.save("last", checkpoint(7))
    run.log({"event": "end"})
    return run


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_old_run_stays_until_the_first_checkpoint(old: Run) -> None:
    before = contents(old.path)
    new = Run.create(old.path, NEW, force=True)
    new.log({"event": "start"})
    assert contents(old.path) == before
    assert new.path == beside(old.path, "partial", hidden=True)
    new.save("last", checkpoint(0))
    assert new.path == old.path
    assert names(old.path.parent) == ["run-1"]
    found = Run.open(old.path)
    assert found.config == NEW
    assert found.load("last").progress["update"] == 0
    assert [event["event"] for event in found.events()] == ["start"]


def test_one_that_is_given_up_leaves_nothing(old: Run) -> None:
    before = contents(old.path)
    Run.create(old.path, NEW, force=True).release()
    assert contents(old.path) == before
    assert names(old.path.parent) == ["run-1"]


def test_after_a_kill_before_its_first_checkpoint_it_is_swept_away(old: Run) -> None:
    before = contents(old.path)

    def begin() -> None:
        Run.create(old.path, NEW, force=True)
        die()

    assert forked(begin) == -signal.SIGKILL
    assert names(old.path.parent) == [".run-1.partial", "run-1"]
    Run.open(old.path)
    assert names(old.path.parent) == ["run-1"]
    assert contents(old.path) == before


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_after_a_kill_while_they_change_places_the_new_one_counts(old: Run, moment: int) -> None:
    def begin() -> None:
        new = Run.create(old.path, NEW, force=True)
        left, rename = [moment], Path.rename

        def renamed(path: Path, target: Path) -> Path:
            if path.name.startswith((".run-1", "run-1")):
                left[0] -= 1
                if not left[0]:
                    die()
            return rename(path, target)

        Path.rename = renamed  # type: ignore[method-assign, assignment]
        new.save("last", checkpoint(3))

    assert forked(begin) == -signal.SIGKILL
    found = Run.open(old.path)
    assert found.load("last").progress["update"] == (7 if moment == 1 else 3)
    assert names(old.path.parent) == ["run-1"]


def test_a_number_is_taken_while_its_runs_change_places(old: Run) -> None:
    old.path.rename(beside(old.path, "old", hidden=True))
    beside(old.path, "ready", hidden=True).mkdir()
    assert next_folder(old.path.parent, "run").name == "run-2"


def test_two_cannot_replace_one_run(old: Run) -> None:
    first = Run.create(old.path, NEW, force=True)
    with pytest.raises(ConfigError, match=r"another process is (training|replacing) this run"):
        Run.create(old.path, NEW, force=True)
    first.release()
    second = Run.create(old.path, NEW, force=True)
    second.save("last", checkpoint(1))
    assert names(old.path.parent) == ["run-1"]


def test_a_run_that_is_trained_is_not_replaced_and_not_trained_twice(old: Run) -> None:
    old.claim()
    other = Run.open(old.path)
    for wanted in (other.claim, lambda: Run.create(old.path, NEW, force=True)):
        with pytest.raises(ConfigError, match="another process is training this run: wait for it"):
            wanted()
    old.release()
    other.claim()
    other.release()


def test_a_claim_goes_with_its_process(old: Run) -> None:
    def claim() -> None:
        Claim(old.path)
        die()

    forked(claim)
    assert Claim(old.path).exclusive


def test_a_backup_beside_a_run_is_nobodys_to_remove(old: Run) -> None:
    for suffix in ("old", "partial", "ready"):
        (old.path.parent / f"run-1.{suffix}").mkdir()
    recover(old.path)
    Run.create(old.path, NEW, force=True).save("last", checkpoint(0))
    assert names(old.path.parent) == ["run-1", "run-1.old", "run-1.partial", "run-1.ready"]


def test_a_link_to_a_run_is_followed(old: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(old.path)
    Run.create(tmp_path / "link", NEW, force=True).save("last", checkpoint(0))
    assert (tmp_path / "link").is_symlink()
    assert Run.open(old.path).config == NEW


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is empty"),
        ("../../x", "it is a path; use --runs"),
        ("/tmp/x", "it is a path; use --runs"),
        ("a/b", "it is a path; use --runs"),
        ("..", "begins with '.'"),
        ("-x", "begins with '-'"),
        ("a\0b", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("x" * 300, "longer than 200 bytes"),
        ("ä" * 150, "longer than 200 bytes"),
    ],
)
def test_names_that_no_run_can_have(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        next_folder(tmp_path, name)
    assert len(str(caught.value)) < 250
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["run", "my run", "2026_lstm.v2", "läufe", "x" * 200])
def test_names_that_runs_can_have(name: str) -> None:
    assert check_run_name(name) == name
