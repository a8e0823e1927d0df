"""A lock that a fork never copies while it is held: its holder would not exist in the child."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager


def fork_safe_lock() -> AbstractContextManager[bool]:
    """A new reentrant lock, which a fork waits for until no other thread holds it."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):  # Windows has no forks
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock
