"""A comparison that a new one replaces: it is kept until the new one has a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from elman._claim import Claim
from elman._folders import beside


class Predecessor:
    """The previous comparison at ``path``, moved aside as ``.NAME.old``.

    Pass the events of the workers to `hear`: "start" means that a first checkpoint is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.rename(_aside(path))

    def hear(self, event: dict[str, Any]) -> None:
        """Delete the previous comparison once the new one has a checkpoint."""
        if event["event"] == "start" and _aside(self.path).exists():
            shutil.rmtree(_aside(self.path), ignore_errors=True)

    def restore(self) -> bool:
        """Move the previous comparison back, unless it is deleted; return whether it was moved."""
        if not _aside(self.path).exists():
            return False
        shutil.rmtree(self.path, ignore_errors=True)
        _aside(self.path).rename(self.path)
        return True


def recover(path: Path) -> None:
    """Finish or undo a replacement that was cut short by a kill."""
    aside = _aside(path)
    if not aside.exists():
        return
    if not path.exists():
        aside.rename(path)
        return
    try:
        claim = Claim(path)
    except BlockingIOError:  # its process is alive
        return
    if claim.exclusive:
        if any(path.glob("runs/*/checkpoints/last*/state.json")):
            shutil.rmtree(aside)
        else:
            shutil.rmtree(path)
            aside.rename(path)
    claim.close()


def _aside(path: Path) -> Path:
    return beside(path, "old", hidden=True)
