"""What is no file is never waited for, and what is nested too deeply is named."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from elman._files import read_json, read_plain, read_toml, why


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert read_plain(tmp_path / "a") == b"x"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read_plain(tmp_path / "link") == b"x"


@pytest.mark.parametrize("kind", ["a folder", "a FIFO", "a socket", "a device"])
def test_what_is_no_file(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    path = Path("x")
    match kind:
        case "a folder":
            path.mkdir()
        case "a FIFO":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        case "a device":
            path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match=kind) as caught:
        read_plain(path)
    assert why(caught.value) == f"expected a file, got {kind}"


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links"):
        read_plain(tmp_path / "a")


@pytest.mark.parametrize(
    ("read", "text"),
    [(read_json, "[" * 100_000), (read_toml, "a = " + "[" * 100_000)],
    ids=["json", "toml"],
)
def test_what_is_nested_too_deeply(tmp_path: Path, read: object, text: str) -> None:
    (tmp_path / "a").write_text(text)
    with pytest.raises(ValueError, match="nested too deeply"):
        read(tmp_path / "a")  # type: ignore[operator]
