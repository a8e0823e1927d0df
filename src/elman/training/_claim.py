"""Who trains in a folder: one process at a time, and the folder that it began with."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a folder cannot be opened either
    fcntl = None  # type: ignore[assignment]


class Claim:
    """A folder kept open and locked; the lock goes with the process, however that ends.

    An open folder keeps its number, so that one which was deleted and made again is not taken for
    it. Where a file system has no locks, ``exclusive`` is false, and others are not kept out.

    Raises:
        BlockingIOError: another claim holds it.
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
        """Let others have it."""
        if self._handle is not None:
            self._release()

    def holds(self, folder: Path) -> bool:
        """Whether that path still leads to the folder that was claimed."""
        if self._handle is None:
            return folder.is_dir()
        try:
            return os.path.samestat(os.fstat(self._handle), folder.stat())
        except OSError:
            return False
