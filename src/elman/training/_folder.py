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

from elman._errors import ConfigError
from elman._files import sync_file, sync_folder, writing_in

LONGEST_NAME = 200
"""Bytes of a run's name; file systems take 255, and a number and a suffix are added."""


def named(name: str) -> str:
    """The name of a run, if a folder can have it.

    Raises:
        ConfigError: it is empty, leads elsewhere, or would be taken for something else.
    """
    wrong = None
    if not name:
        wrong = "it is empty"
    elif set(name) & {"/", "\\", ":"}:
        wrong = "it leads to another folder, which is what --runs is for"
    elif name[0] in ".-~":
        wrong = f"it begins with {name[0]!r}"
    elif not name.isprintable():
        wrong = "it has signs that cannot be printed"
    elif len(os.fsencode(name)) > LONGEST_NAME:
        wrong = f"it is longer than {LONGEST_NAME} bytes"
    if wrong:
        raise ConfigError(
            f"no run can be called {shortened(name)}: {wrong}; expected a plain name, as my-run"
        )
    return name


def shortened(text: str) -> str:
    """A text in quotes, cut where it is too long for a message."""
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}..."


def next_folder(directory: Path, name: str) -> Path:
    """Make ``directory/NAME-N`` with the first free number above all that there are.

    Raises:
        ConfigError: no folder can have that name.
        DataError: the directory cannot be written.
    """
    named(name)
    with writing_in(directory):
        directory.mkdir(parents=True, exist_ok=True)
        # A run that is just changing places with another is hidden, and its number taken.
        pattern = re.compile(r"\.?" + re.escape(name) + r"-(\d+)(?:\.ready|\.old)?")
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
    ready = beside(folder, "ready")
    return ready if ready.exists() else folder


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of ``folder`` if the block ends well."""
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
    """Finish a replacement that was cut short after its new folder was complete.

    ``hidden`` ones are those of whole runs, among which people have names of their own.
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
    """Write a file, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        sync_file(file)


def beside(folder: Path, suffix: str, hidden: bool = False) -> Path:
    """Where a folder that takes the place of another one is meanwhile."""
    return folder.with_name(f"{'.' * hidden}{folder.name}.{suffix}")
