"""Writing a file whole or not at all."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from elman._errors import DataError
from elman.data._plain_file import require_plain


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the name `path` only once it is complete and on the disk.

    Until then it has a temporary name in the same folder. A process that is killed on the way
    leaves what was at `path` before; an exception also removes the temporary file.

    Raises:
        DataError: the file cannot be written (the disk is full, the folder read-only ...).
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        if path.exists():  # what is no file, such as a device, must not become one
            require_plain(path)
        with partial.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror or error}; "
            "make room or choose another folder, then run again"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Name the folder if it, or what belongs into it, cannot be made within.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: this folder cannot be made or written: {error.strerror or error}; "
            "choose a folder in which you may write, then run again"
        ) from error


def _sweep(path: Path) -> None:
    """Remove what processes that were killed had begun to write under that name."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        process = left.name.split(".")[-2]
        if process.isdecimal() and not _lives(int(process)):
            left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    if os.name != "posix":  # there, a signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _sync(folder: Path) -> None:
    """Make the new name last, too; Windows cannot open a folder and does not need it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
