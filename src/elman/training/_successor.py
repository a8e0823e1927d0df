"""A run that replaces another one: it is created beside it, and takes its place when it is ready.

Until its first checkpoint it is in ``.NAME.partial``, locked by its process. Then it is renamed to
``.NAME.ready``, the old run to ``.NAME.old``, and the new one to ``NAME``; after a kill in between,
the next process that opens ``NAME`` finishes that.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from elman._claim import Claim, claim_folder
from elman._errors import CheckpointError, ConfigError
from elman._files import sync_folder, writing_in
from elman._folders import beside, settle

PATIENCE = 2.0
"""Seconds to wait for another process that is renaming."""


class Successor:
    """An empty folder, ``path``, for a run that replaces the run ``target``.

    Raises:
        ConfigError: another process trains or replaces that run.
        DataError: the folder cannot be created.
    """

    def __init__(self, target: Path) -> None:
        self.target = target.resolve() if target.is_symlink() else target
        recover(self.target)
        self.before = claim_folder(self.target)
        self.path = beside(self.target, "partial", hidden=True)
        with writing_in(self.path):
            left = self.path.exists()
            self.path.mkdir(exist_ok=True)
            self.claim = _claimed_to_replace(self.path, self.target, left)
            empty(self.path)

    def take_place(self) -> None:
        """Replace the old run; an interruption can be finished later, an OSError keeps the old."""
        self.path.rename(beside(self.target, "ready", hidden=True))
        sync_folder(self.target.parent)
        settle(self.target, hidden=True)
        self.before.close()

    def abandon(self) -> None:
        """Keep the old run."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.before.close()
        self.claim.close()


def recover(path: Path) -> None:
    """Finish or clean up a replacement of this run whose process was killed.

    Raises:
        CheckpointError: the new run is complete, but cannot be moved to its place.
    """
    ready, old, partial = (beside(path, s, hidden=True) for s in ("ready", "old", "partial"))
    if ready.exists() and not _moves(ready):
        try:
            settle(path, hidden=True)
        except OSError as error:
            raise CheckpointError(
                f"{path}: the new run is complete in {ready}, but cannot be moved here: "
                f"{error.strerror or error}; make {path.parent} writable"
            ) from error
    if path.exists() and not ready.exists() and old.exists():
        shutil.rmtree(old, ignore_errors=True)
    if partial.exists():
        _sweep(partial)


def empty(folder: Path) -> None:
    """Delete the content of a folder, but not the folder."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _moves(ready: Path) -> bool:
    """Whether a live process moves the folder within a moment."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            Claim(ready).close()
        except BlockingIOError:
            time.sleep(0.02)
        except FileNotFoundError:
            return True
        else:
            return False
    return not ready.exists()


def _sweep(partial: Path) -> None:
    """Delete the folder of a killed process, but not that of a live one."""
    try:
        claim = Claim(partial)
    except OSError:
        return
    if claim.exclusive:
        shutil.rmtree(partial, ignore_errors=True)
    claim.close()


def _claimed_to_replace(partial: Path, target: Path, left: bool) -> Claim:
    try:
        claim = Claim(partial)
    except BlockingIOError:
        claim = None
    if claim is None or (left and not claim.exclusive and os.name == "posix"):
        raise ConfigError(
            f"{target}: another process is replacing this run, in {partial}: wait for it or stop "
            "it, or give the new run another name"
        )
    return claim
