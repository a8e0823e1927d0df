"""Locks of run folders: one process at a time trains in a folder."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a folder cannot be opened either
    fcntl = None  # type: ignore[assignment]


class Claim:
    """An open and locked folder; the lock ends with the process, however it ends.

    An open folder keeps its inode, so a folder that was deleted and created again is not mistaken
    for it. On file systems without locks ``exclusive`` is false, and others are not kept out.

    Raises:
        BlockingIOError: another process has locked the folder.
        OSError: there is no such folder.
    """

    exclusive = False

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = None
        if fcntl is None:
            return
        self._handle = os.open(folder, os.O_RDONLY)
        self._release = weakref.finalize(self, os.close, self._handle)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.exclusive = True
        except BlockingIOError:
            self.close()
            raise
        except OSError:
            self.exclusive = False

    def close(self) -> None:
        """Release the lock."""
        if self._handle is not None:
            self._release()

    def holds(self, folder: Path) -> bool:
        """Whether the path still leads to the locked folder."""
        if self._handle is None:
            return folder.is_dir()
        try:
            return os.path.samestat(os.fstat(self._handle), folder.stat())
        except OSError:
            return False
