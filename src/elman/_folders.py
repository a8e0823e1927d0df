"""Creating folders, and replacing them atomically: after a kill, the old or the new one is whole.

A folder cannot be renamed over another. So the new one is filled as ``NAME.partial``, and is valid
once it is renamed to ``NAME.ready``; the rest is cleanup that the next process can finish.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elman._errors import ConfigError
from elman._files import sync_file, sync_folder, writing_in

LONGEST_NAME = 200
"""Bytes of a run's name; file systems allow 255, and a number and a suffix are added."""


def check_run_name(name: str) -> str:
    """The name of a run, if it is a valid folder name.

    Raises:
        ConfigError: it is empty, a path, or could be mistaken for something else.
    """
    wrong = None
    if not name:
        wrong = "it is empty"
    elif set(name) & {"/", "\\", ":"}:
        wrong = "it is a path; use --runs to choose the folder"
    elif name[0] in ".-~":
        wrong = f"it begins with {name[0]!r}"
    elif not name.isprintable():
        wrong = "it has characters that cannot be printed"
    elif len(os.fsencode(name)) > LONGEST_NAME:
        wrong = f"it is longer than {LONGEST_NAME} bytes"
    if wrong:
        raise ConfigError(
            f"the name of a run must be a plain word such as my-run, got {shortened(name)}: {wrong}"
        )
    return name


def shortened(text: str) -> str:
    """A text in quotes, shortened for a message."""
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}..."


def next_folder(directory: Path, name: str) -> Path:
    """Create ``directory/NAME-N`` with the next number after all that exist.

    Raises:
        ConfigError: the name is not valid.
        DataError: the directory cannot be written.
    """
    check_run_name(name)
    with writing_in(directory):
        directory.mkdir(parents=True, exist_ok=True)
        # A run that is being replaced is hidden, and its number is taken.
        pattern = re.compile(r"\.?" + re.escape(name) + r"-(\d+)(?:\.ready|\.old)?")
        taken = (pattern.fullmatch(entry.name) for entry in directory.iterdir())
        number = max((int(match[1]) for match in taken if match), default=0)
        while True:
            number += 1
            path = directory / f"{name}-{number}"
            try:
                path.mkdir()
            except FileExistsError:  # another process was faster
                continue
            return path


def current(folder: Path) -> Path:
    """The path of the newest complete version of a folder; it may not exist."""
    ready = beside(folder, "ready")
    return ready if ready.exists() else folder


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces ``folder`` if the block succeeds."""
    settle(folder)
    partial = beside(folder, "partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        sync_folder(partial)
        partial.rename(beside(folder, "ready"))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(folder.parent)
    settle(folder)


def settle(folder: Path, *, hidden: bool = False) -> None:
    """Finish a replacement that was interrupted after its new folder was complete.

    Replacements of whole runs are ``hidden``, since users choose the names beside them.
    """
    ready, old = beside(folder, "ready", hidden), beside(folder, "old", hidden)
    if ready.exists():
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        ready.rename(folder)
        sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def write(path: Path, content: bytes) -> None:
    """Write a file and flush it to disk."""
    with path.open("wb") as file:
        file.write(content)
        sync_file(file)


def beside(folder: Path, suffix: str, hidden: bool = False) -> Path:
    """The path beside a folder that is used while it is replaced."""
    return folder.with_name(f"{'.' * hidden}{folder.name}.{suffix}")
