"""A comparison that another is to replace: it is kept until a run of that has a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from elman.training._claim import Claim
from elman.training._folder import beside


class Predecessor:
    """The comparison that was at ``path``, moved aside as ``.NAME.old``.

    A worker reports "start" once its first checkpoint is written: pass on to `hear` what they say.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.rename(_aside(path))

    def hear(self, event: dict[str, Any]) -> None:
        """Let go of it, now that its successor has begun."""
        if event["event"] == "start" and _aside(self.path).exists():
            shutil.rmtree(_aside(self.path), ignore_errors=True)

    def restore(self) -> bool:
        """Put it back, unless it has been let go of; whether it was."""
        if not _aside(self.path).exists():
            return False
        shutil.rmtree(self.path, ignore_errors=True)
        _aside(self.path).rename(self.path)
        return True


def recover(path: Path) -> None:
    """Finish what a process that was killed left of a replacement."""
    aside = _aside(path)
    if not aside.exists():
        return
    if not path.exists():
        aside.rename(path)
        return
    try:
        claim = Claim(path)
    except BlockingIOError:  # its process lives
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
