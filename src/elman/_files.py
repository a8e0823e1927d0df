"""Files: written whole or not at all, and read where a stranger may have made them.

Reading waits for nothing, and nothing overflows.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from elman._errors import DataError

Parsed = TypeVar("Parsed")

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


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
        if path.exists():  # never replace a device or a FIFO by a file
            require_plain(path)
        with partial.open("w+b") as file:
            yield file
            sync_file(file)
        partial.replace(path)
        sync_folder(path.parent)
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
    """Names the folder in the error if something inside the block cannot be written.

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


def sync_file(file: BinaryIO) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; Windows cannot, and does not need it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def require_plain(path: str | os.PathLike[str]) -> None:
    """Refuse anything but a file before it is opened: a FIFO without a writer would block.

    Raises:
        OSError: it does not exist, or is a folder, a FIFO, a socket or a device.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 - not every path here is a Path
    kind = next((name for is_kind, name in KINDS if is_kind(mode)), None)
    if kind:
        raise OSError(errno.EINVAL, f"expected a file, got {kind}", os.fspath(path))


def read_plain(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: as `require_plain`, or it cannot be read.
    """
    require_plain(path)
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """The value in a file of JSON.

    Raises:
        OSError, ValueError: it cannot be read, or it is not JSON.
    """
    return _parsed(json.loads, read_plain(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables in a file of TOML.

    Raises:
        OSError, ValueError: it cannot be read, or it is not TOML.
    """
    return _parsed(tomllib.loads, read_plain(path).decode())


def why(error: Exception) -> str:
    """The reason in an error of these readers, without the number that an OSError begins with."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _sweep(path: Path) -> None:
    """Remove partial files that killed processes left under that name."""
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


def _parsed(parse: Callable[[Any], Parsed], content: bytes | str) -> Parsed:
    try:
        return parse(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
