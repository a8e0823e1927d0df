"""Ctrl-C, SIGTERM and a lost terminal as a wish that the loop grants at its next update."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
SIGNALS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, HANGUP)))


class Stop:
    """Whether the user has asked to stop, and by which signal."""

    signal: str | None = None


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Note the first Ctrl-C, SIGTERM or SIGHUP; another Ctrl-C or SIGTERM acts at once.

    A terminal that is lost may send SIGHUP twice, so that one never ends the saving. A process that
    was started to ignore it, as by nohup, goes on ignoring it. Signals reach the main thread only;
    in another one nothing is noted.
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
