"""Reading a file that a stranger may have made: nothing is waited for, and nothing overflows."""

from __future__ import annotations

import errno
import json
import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Parsed = TypeVar("Parsed")

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_plain(path: str | os.PathLike[str]) -> None:
    """Refuse what is no file before it is opened: a FIFO without a writer would be waited for.

    Raises:
        OSError: it is not there, or it is a folder, a FIFO, a socket or a device.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 - not every path here is a Path
    kind = next((name for is_kind, name in KINDS if is_kind(mode)), None)
    if kind:
        raise OSError(errno.EINVAL, f"a file was expected, and this is {kind}", os.fspath(path))


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


def _parsed(parse: Callable[[Any], Parsed], content: bytes | str) -> Parsed:
    try:
        return parse(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
