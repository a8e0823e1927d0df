"""The standard streams, of which any may be closed, full or gone, and what is logged on one."""

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
    """See that whatever is written or read has somewhere to go to or to come from.

    Without input there is the end of a file; what is logged may go nowhere; results may not.

    Raises:
        ConfigError: the standard output is closed.
    """
    closed = sys.stdout is None
    if sys.stdin is None or sys.stderr is None or closed:
        while os.open(os.devnull, os.O_RDWR) < 3:  # a file must not get the number of a stream
            pass
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - no path, and it stays
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if closed:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        raise ConfigError(
            "the standard output is closed, and there is nowhere for results to go: "
            "redirect it to a file, or to /dev/null"
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() in ASCII:
            stream.reconfigure(encoding="utf-8")  # as Python itself does in the locale C


def text_of(argument: str) -> str:
    """A word of the command line as text, where the locale could not read all of its bytes.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        return os.fsencode(argument).decode() if _escaped(argument) else argument
    except UnicodeError as error:
        raise ConfigError(
            f"{argument!r} is no text in UTF-8: check the encoding of the terminal, "
            "or put the text into a file"
        ) from error


def _escaped(argument: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in argument)


@contextmanager
def logging_to_stderr(*, quiet: bool) -> Iterator[None]:
    """Within, what the library logs is on stderr: all of it, or with ``quiet`` only warnings."""
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
    """Drop what is left in a stream that takes nothing more: Python would complain when it ends."""
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
