from __future__ import annotations

from pathlib import Path

import pytest

from elman import _folders
from elman._folders import current, replacing_folder, settle, write


def fill(folder: Path, text: str) -> None:
    with replacing_folder(folder) as inside:
        write(inside / "a", text.encode())


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    last = tmp_path / "last"
    fill(last, "one")
    fill(last, "two")
    assert (last / "a").read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


def test_an_error_while_filling_leaves_the_old_one(tmp_path: Path) -> None:
    last = tmp_path / "last"
    fill(last, "one")

    def fill_half() -> None:
        with replacing_folder(last) as inside:
            write(inside / "a", b"tw")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fill_half()
    assert (last / "a").read_text() == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


def test_a_folder_that_is_ready_is_the_one_to_read(tmp_path: Path) -> None:
    last, ready = tmp_path / "last", tmp_path / "last.ready"
    fill(last, "one")
    assert current(last) == last
    fill(ready, "two")
    assert current(last) == ready
    settle(last)
    assert (current(last) / "a").read_text() == "two"
    assert not ready.exists()


def test_a_swap_cut_short_in_the_middle_is_finished(tmp_path: Path) -> None:
    last = tmp_path / "last"
    fill(last, "one")
    last.rename(tmp_path / "last.old")
    fill(tmp_path / "last.ready", "two")
    assert (current(last) / "a").read_text() == "two"
    fill(last, "three")
    assert (last / "a").read_text() == "three"
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


def test_what_was_left_half_filled_is_not_read(tmp_path: Path) -> None:
    last = tmp_path / "last"
    (tmp_path / "last.partial").mkdir()
    (tmp_path / "last.partial" / "b").write_text("half")
    assert not current(last).exists()
    fill(last, "one")
    assert [entry.name for entry in last.iterdir()] == ["a"]


def test_files_are_synced_before_the_folder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync, rename = _folders.os.fsync, Path.rename
    monkeypatch.setattr(_folders.os, "fsync", lambda fd: (seen.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda *a: (seen.append("rename"), rename(*a))[1])
    fill(tmp_path / "last", "one")
    assert seen == ["sync", "sync", "rename", "sync", "rename", "sync"]
