"""New folders, and replacing one whole: killed at any moment, the old one or the new stays.

A folder cannot be renamed over another. So the new one is filled as ``NAME.partial``, and counts
from the moment it is renamed to ``NAME.ready``; what follows only tidies up, and whoever comes next
can finish it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elman.data._files import writing_in


def next_folder(directory: Path, name: str) -> Path:
    """Make ``directory/NAME-N`` with the first free number above all that there are."""
    with writing_in(directory):
        directory.mkdir(parents=True, exist_ok=True)
        pattern = re.compile(re.escape(name) + r"-(\d+)")
        taken = (pattern.fullmatch(entry.name) for entry in directory.iterdir())
        number = max((int(match[1]) for match in taken if match), default=0)
        while True:
            number += 1
            path = directory / f"{name}-{number}"
            try:
                path.mkdir()
            except FileExistsError:  # another process was quicker
                continue
            return path


def current(folder: Path) -> Path:
    """Where the newest complete contents of the folder are to be read; it may not exist."""
    ready = _beside(folder, "ready")
    return ready if ready.exists() else folder


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of ``folder`` if the block ends well."""
    settle(folder)
    partial = _beside(folder, "partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        sync(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(_beside(folder, "ready"))
    sync(folder.parent)
    settle(folder)


def settle(folder: Path) -> None:
    """Finish a replacement that was cut short after its new folder was complete."""
    ready, old = _beside(folder, "ready"), _beside(folder, "old")
    if ready.exists():
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        ready.rename(folder)
        sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def write(path: Path, content: bytes) -> None:
    """Write a file and see it onto the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """See the names in a folder onto the disk; only POSIX needs it and can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")
