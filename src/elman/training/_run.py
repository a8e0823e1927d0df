"""The run folder: where a training run keeps all that it was told and all that came of it."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from elman._errors import CheckpointError, ConfigError, ElmanError, check_path
from elman.data._files import replacing, writing_in
from elman.data._plain_file import read_plain, require_plain, why
from elman.training._checkpoint import Checkpoint
from elman.training._claim import Claim
from elman.training._folder import current, next_folder, replacing_folder
from elman.training._run_config import read_config
from elman.training._successor import Successor, claimed, recover

log = logging.getLogger(__name__)


class Run:
    """A run folder on the disk.

    ==============================  ===============================================================
    config.toml                     the resolved configuration, the task's name and ``format``
    metrics.jsonl                   one event a line, as `elman.training.fit` reports them
    tokenizer.json, tokens/         the vocabulary and the encoded text of a language model
    task.json, rows/                what other tasks learned of their data, and the rows as numbers
    checkpoints/last, .../best      each is replaced as a whole, and holds:
    .../model.safetensors           parameters and buffers, tied ones once
    .../optimizer.safetensors       the optimizer's state, ``INDEX.KEY``; empty in best
    .../state.safetensors           the carried recurrent state, and torch's random state
    .../state.json                  ``format``, the position in the data, what early stopping
                                    counts, and how long metrics.jsonl was
    ==============================  ===============================================================

    A folder ``last.ready`` is newer than ``last``: a process was killed while it changed places. A
    run that replaces another by force is made in ``.NAME.partial`` until its first checkpoint.

    Example:
        >>> import tempfile
        >>> run = Run.create(Path(tempfile.mkdtemp(), "try"), {"task": "custom", "format": 1})
        >>> run.log({"event": "start"})
        >>> Run.open(run.path).events()
        [{'event': 'start'}]
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path, self.config = path, config
        self._claim: Claim | None = None
        self._successor: Successor | None = None

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], *, force: bool = False) -> Run:
        """Make a new run folder.

        With ``force``, a run that is there stays until this one's first checkpoint is saved; till
        then this one is in a folder beside it, its ``path``.

        Raises:
            ConfigError: the folder exists, without ``force``, or it is no run folder, or another
                process trains in it.
            DataError: it cannot be written.
        """
        successor = Successor(path) if _taken(path, force) else None
        if successor is None:
            with writing_in(path):
                path.mkdir(parents=True, exist_ok=True)
        run = cls(successor.path if successor else path, config)
        run._successor = successor
        run.configure(config)
        return run

    @classmethod
    def create_next(cls, directory: Path, name: str, config: Mapping[str, Any]) -> Run:
        """Make ``directory/NAME-N`` with the first free number above all that there are."""
        return cls.create(next_folder(directory, name), config)

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Open a run folder.

        Raises:
            CheckpointError: it is none, or one of another format.
            DtypeError: it is no path.
        """
        check_path("a run folder", path)
        path = Path(path)
        recover(path)
        return cls(path, read_config(path))

    def claim(self) -> None:
        """Let no other process train in it, until `release`.

        Raises:
            ConfigError: another process does.
        """
        if self._claim is None:
            self._claim = self._successor.claim if self._successor else claimed(self.path)

    def release(self) -> None:
        """Let others train in it; one that was to replace another and saved nothing is removed."""
        if self._successor:
            self._successor.abandon()
            self._successor = None
        if self._claim:
            self._claim.close()
            self._claim = None

    def check(self) -> None:
        """Refuse to go on where the folder that was claimed is no longer there.

        Raises:
            ElmanError: it was deleted, moved or replaced, or its disk is gone.
        """
        if self._claim is None:
            return
        if not self._claim.holds(self.path) or not (self.path / "config.toml").exists():
            raise ElmanError(
                f"{self.path}: this run folder was deleted, moved or replaced while it was in use, "
                "and what came of the run is lost with it: leave it in its place, and train again"
            )

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write the configuration anew."""
        self.config = config
        with replacing(self.path / "config.toml") as file:
            tomli_w.dump(config, file)

    def save(self, which: str, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint ``which``: "last" or "best".

        Raises:
            CheckpointError: it cannot be written; the one before is still there.
        """
        self.check()
        checkpoint.progress["metrics_bytes"] = self.metrics_bytes
        try:
            with replacing_folder(self._folder(which)) as folder:
                checkpoint.write(folder)
        except OSError as error:
            self.check()
            raise CheckpointError(
                f"{self._folder(which)}: cannot be saved: {why(error)}; {self._remedy(which)}"
            ) from error
        self._take_place()

    def load(self, which: str) -> Checkpoint:
        """Read the checkpoint ``which``: "last" or "best".

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        self.check()
        folder = current(self._folder(which))
        if not folder.exists():
            raise CheckpointError(
                f"{self.path}: has no checkpoint {which!r}: it was stopped before its first one, "
                "so start it again; or the name is wrong (last, best)"
            )
        return Checkpoint.read(folder)

    @property
    def begun(self) -> bool:
        """Whether it has a checkpoint to go on from."""
        return current(self._folder("last")).exists()

    def where(self, which: str, part: str) -> Path:
        """The file of a part of a checkpoint, for messages."""
        return current(self._folder(which)) / f"{part}.safetensors"

    def log(self, event: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl, whole or not at all; what JSON does not have is null."""
        self.check()
        line = json.dumps(_finite(event), allow_nan=False) + "\n"
        before = self.metrics_bytes
        try:
            if os.path.lexists(self._metrics):
                require_plain(self._metrics)
            with self._metrics.open("ab") as file:
                file.write(line.encode())
        except OSError as error:
            self.check()
            self._cut(before)
            raise CheckpointError(
                f"{self._metrics}: cannot be written: {why(error)}; make room, then resume the run"
            ) from error

    def events(self) -> list[dict[str, Any]]:
        """All events of metrics.jsonl; a line that is none, or half of one, is named and left out.

        Raises:
            CheckpointError: the file cannot be read.
        """
        if not os.path.lexists(self._metrics):
            return []
        try:
            lines = read_plain(self._metrics).split(b"\n")
        except OSError as error:
            raise CheckpointError(f"{self._metrics}: cannot be read: {why(error)}") from error
        read = [_event(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        for bad in (event for event in read if isinstance(event, BadLine)):
            log.warning("%s, line %d: left out: %s", self._metrics, *bad)
        return [event for event in read if not isinstance(event, BadLine)]

    @property
    def metrics_bytes(self) -> int:
        return self._metrics.stat().st_size if self._metrics.exists() else 0

    def rewind_metrics(self, size: int) -> None:
        """Drop the lines that were written after a checkpoint, which will be written again.

        Half a line at the end, as a machine that failed leaves it, goes too: a new one would be
        added to it.
        """
        if not self.metrics_bytes:
            return
        whole = read_plain(self._metrics)[:size]
        self._cut(whole.rfind(b"\n") + 1)

    def _cut(self, size: int) -> None:
        with suppress(OSError):
            if size < self.metrics_bytes:
                os.truncate(self._metrics, size)

    def _remedy(self, which: str) -> str:
        if self._successor:
            return f"{self._successor.target} is as it was: make room, then start it again"
        if not current(self._folder(which)).exists():
            return "make room, then start it again"
        return "the checkpoint before it is unharmed: make room, then resume the run"

    def _take_place(self) -> None:
        """Replace the run that was to be replaced, now that this one has a checkpoint."""
        if self._successor is None:
            return
        target = self._successor.target
        try:
            self._successor.take_place()
        except OSError as error:
            raise CheckpointError(
                f"{target}: cannot be replaced: {why(error)}; make {target.parent} writable, "
                "or give the new run another name"
            ) from error
        self._claim = self._successor.claim
        self.path, self._successor = target, None

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def _folder(self, which: str) -> Path:
        return self.path / "checkpoints" / which


class BadLine(NamedTuple):
    """A line of metrics.jsonl that is no event, and why."""

    line: int
    reason: str


def _event(number: int, line: bytes) -> dict[str, Any] | BadLine:
    try:
        event = json.loads(line)
    except RecursionError:
        return BadLine(number, "nested too deeply")
    except ValueError:
        return BadLine(number, "not a whole line of JSON, as after a failure of the machine")
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return BadLine(number, "not an event: an object with the key event was expected")
    return event


def _taken(path: Path, force: bool) -> bool:
    """Whether there is a run at that path, which may be replaced."""
    recover(path)
    if not path.exists():
        return False
    if not path.is_dir() or (any(path.iterdir()) and not (path / "config.toml").exists()):
        raise ConfigError(f"{path}: exists and is no run folder: choose another path")
    if any(path.iterdir()) and not force:
        raise ConfigError(
            f"{path}: this run exists: resume it, choose another path, or force its replacement"
        )
    return any(path.iterdir())


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
