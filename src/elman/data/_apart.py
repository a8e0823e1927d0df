"""Files that are read by a process of their own, since a damaged one may end the process.

The libraries that read .mat and Parquet files are made of C and C++, and trust what they should
check: a flipped bit can make scipy read beyond its memory and pyarrow give up by aborting. So such
files are read by a program that has little memory and time, and hands on what it finds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from elman._errors import DataError

UNREADABLE = 3
"""The exit status of a reader that wrote its reason to stderr."""


@contextmanager
def apart(file: Path, program: str, *arguments: object) -> Iterator[IO[bytes]]:
    """The output of a module of this package that reads a file in a process of its own.

    Raises:
        DataError: it refuses the file, or crashes on it.
    """
    command = [sys.executable, "-P", "-m", f"elman.data.{program}", str(file)]
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # its own sets more aside than there is
        "MALLOC_ARENA_MAX": "1",
    }
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [*command, *map(str, arguments)],
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        assert process.stdout
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            why = _reason(process.returncode, errors.read().decode(errors="replace"))
            raise DataError(f"{file}: cannot be read: {why}: check or write it again")


def _reason(status: int, errors: str) -> str:
    """The reason why a program ended with this status."""
    lines = errors.strip().splitlines()
    if status == UNREADABLE:
        return lines[-1]
    if status >= 0:
        raise RuntimeError("\n".join([f"a reader ended with {status}", *lines]))
    if -status == getattr(signal, "SIGXCPU", 0):
        return "it takes too long"
    return f"its reader crashed on it ({signal.Signals(-status).name})"


def refuse(why: str) -> NoReturn:
    """End the program with a reason."""
    sys.stderr.write(" ".join(why.split()) + "\n")
    sys.exit(UNREADABLE)


def limit(memory: int, seconds: int | None = None) -> None:
    """Limit the memory that the program may use on top of what it has, and its processor time.

    Only Linux has these limits.
    """
    if sys.platform != "linux":
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _lower(resource.RLIMIT_AS, used + memory)
    if seconds:
        _lower(resource.RLIMIT_CPU, seconds)


def _lower(kind: int, most: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
