"""Ctrl-C, SIGTERM and SIGHUP as requests that the loop checks after each update."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
SIGNALS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, HANGUP)))


class Stop:
    """The signal that asked to stop, if any."""

    signal: str | None = None


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Record the first Ctrl-C, SIGTERM or SIGHUP; a second Ctrl-C or SIGTERM acts at once.

    A lost terminal may send SIGHUP twice, so a second SIGHUP never interrupts the saving. If SIGHUP
    is ignored, as under nohup, it stays ignored. Signals reach the main thread only; in other
    threads nothing is recorded.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if HANGUP and before[HANGUP] == signal.SIG_IGN:
        del before[HANGUP]

    def restore(*kept: signal.Signals | None) -> None:
        for number, handler in before.items():
            if number not in kept:
                signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        stop.signal = stop.signal or signal.Signals(number).name
        restore(HANGUP)

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
