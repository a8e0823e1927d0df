"""Ctrl-C and SIGTERM as a wish that the loop grants at its next update."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether the user has asked to stop, and by which signal."""

    signal: str | None = None


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Note the first Ctrl-C or SIGTERM; a second one acts at once, as if nobody listened.

    Signals reach the main thread only; in another one nothing is noted.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        stop.signal = signal.Signals(number).name
        restore()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
