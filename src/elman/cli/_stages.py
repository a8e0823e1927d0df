"""Stages of a slow command: one line each on stderr, with its time."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self


class Stages:
    """Prints the name of a stage when it starts, and its time when it ends.

    >>> with Stages() as stages:
    ...     stages("reading the run")
    ...     stages("measuring")
    """

    def __init__(self) -> None:
        self._begun: float | None = None

    def __call__(self, what: str) -> None:
        self.end()
        self._begun = time.perf_counter()
        print(f"{what} ... ", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """End the stage, so that something else can be printed."""
        if self._begun is not None:
            print(f"{time.perf_counter() - self._begun:.1f} s", file=sys.stderr, flush=True)
            self._begun = None
