"""A file appears whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import elman
from elman import DataError
from elman._files import replacing


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def write(path: Path, content: bytes, error: type[BaseException] | None = None) -> None:
    with replacing(path) as file:
        file.write(content)
        if error is not None:
            raise error


def test_the_name_is_taken_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(error):
        write(path, b"half", error)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


def test_a_killed_process_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    code = (
        "import os, sys; from elman._files import replacing\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(elman.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, path], check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(DataError, match="cannot be written: File too large; make room"):
            write(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written"):
        write(tmp_path / "file" / "new", b"")
