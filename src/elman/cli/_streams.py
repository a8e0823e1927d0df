"""The standard streams, any of which may be closed, full or lost, and logging to stderr."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from elman._errors import ConfigError
from elman.cli._output import log

ASCII = {"ascii", "us-ascii", "ansi_x3.4-1968"}


def require_streams() -> None:
    """Replace closed standard streams: stdin and stderr by the null device; stdout must be open.

    Raises:
        ConfigError: the standard output is closed.
    """
    closed = sys.stdout is None
    if sys.stdin is None or sys.stderr is None or closed:
        while os.open(os.devnull, os.O_RDWR) < 3:  # so that no file gets the number of a stream
            pass
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - no path, and it stays
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if closed:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        raise ConfigError(
            "standard output is closed, so results cannot be written: redirect it to a file or "
            "to /dev/null"
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() in ASCII:
            stream.reconfigure(encoding="utf-8")  # as Python does in the C locale


def text_of(argument: str) -> str:
    """An argument of the command line decoded as UTF-8, whatever the locale is.

    Raises:
        ConfigError: it is not valid UTF-8.
    """
    try:
        return os.fsencode(argument).decode() if _escaped(argument) else argument
    except UnicodeError as error:
        raise ConfigError(
            f"{argument!r} is not valid UTF-8: check the encoding of the terminal, or put the "
            "text into a file"
        ) from error


def _escaped(argument: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in argument)


@contextmanager
def logging_to_stderr(*, quiet: bool) -> Iterator[None]:
    """Log messages of the library to stderr; with ``quiet`` only warnings."""
    logger, handler = logging.getLogger("elman"), _Stderr()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log(record.getMessage())


def lost_output() -> None:
    """Discard the buffers of streams that cannot be written, or Python fails at exit."""
    for stream in (sys.stdout, sys.stderr):
        if _stuck(stream):
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _stuck(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return True
    return False
