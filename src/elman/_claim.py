"""Locks of folders: one process at a time trains a run, or a comparison, in a folder."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from elman._errors import ConfigError

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


def claim_folder(path: Path) -> Claim:
    """Lock a run folder.

    Raises:
        ConfigError: another process has locked it.
    """
    try:
        return Claim(path)
    except BlockingIOError:
        raise ConfigError(
            f"{path}: another process is training this run: wait for it or stop it, "
            "or give the new run another name"
        ) from None
