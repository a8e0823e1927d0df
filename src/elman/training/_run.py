"""The run folder: configuration, log and checkpoints of a training run."""

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

from elman._claim import Claim, claim_folder
from elman._errors import CheckpointError, ConfigError, ElmanError, check_path
from elman._files import read_plain, replacing, require_plain, why, writing_in
from elman._folders import current, next_folder, replacing_folder
from elman.training._checkpoint import Checkpoint
from elman.training._run_config import read_config
from elman.training._successor import Successor, recover

log = logging.getLogger(__name__)


class Run:
    """A run folder on disk.

    ==============================  ===============================================================
    config.toml                     the resolved configuration, the task's name and ``format``
    metrics.jsonl                   one event per line, as `elman.training.fit` reports them
    tokenizer.json, tokens/         the vocabulary and the encoded text of a language model
    task.json, rows/                what other tasks fitted to their data, and the rows as numbers
    cell/                           of the user's own cell: a copy of its file and its hash
    checkpoints/last, .../best      each is replaced atomically, and holds:
    .../model.safetensors           parameters and buffers, tied ones once
    .../optimizer.safetensors       the optimizer's state, ``INDEX.KEY``; empty in best
    .../state.safetensors           the carried recurrent state, and torch's random state
    .../state.json                  ``format``, the position in the data, the counters of early
                                    stopping, and the size of metrics.jsonl
    ==============================  ===============================================================

    A folder ``last.ready`` is newer than ``last``: its process was killed while replacing it. A run
    that replaces another by force is in ``.NAME.partial`` until its first checkpoint.

    Example:
        >>> import tempfile
        >>> run = Run.create(Path(tempfile.mkdtemp(), "try"), {"task": "custom", "format": 3})
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
        """Create a run folder.

        With ``force``, an existing run is kept until the first checkpoint of the new one is saved;
        until then the ``path`` of the new run is a folder beside it.

        Raises:
            ConfigError: the folder exists without ``force``, is not a run folder, or another
                process trains in it.
            DataError: the folder cannot be written.
        """
        successor = Successor(path) if _occupied(path, force) else None
        if successor is None:
            with writing_in(path):
                path.mkdir(parents=True, exist_ok=True)
        run = cls(successor.path if successor else path, config)
        run._successor = successor
        run.configure(config)
        return run

    @classmethod
    def create_next(cls, directory: Path, name: str, config: Mapping[str, Any]) -> Run:
        """Create ``directory/NAME-N`` with the next number after all that exist."""
        return cls.create(next_folder(directory, name), config)

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Open a run folder.

        Raises:
            CheckpointError: the path is not a run folder, or has another format.
            DtypeError: it is not a path.
        """
        check_path("a run folder", path)
        path = Path(path)
        recover(path)
        return cls(path, read_config(path))

    def claim(self) -> None:
        """Lock the run folder until `release`.

        Raises:
            ConfigError: another process trains in it.
        """
        if self._claim is None:
            self._claim = self._successor.claim if self._successor else claim_folder(self.path)

    def release(self) -> None:
        """Unlock the run folder; a replacement without a checkpoint is deleted."""
        if self._successor:
            self._successor.abandon()
            self._successor = None
        if self._claim:
            self._claim.close()
            self._claim = None

    def check(self) -> None:
        """Check that the locked folder still exists.

        Raises:
            ElmanError: it was deleted, moved or replaced, or its disk is gone.
        """
        if self._claim is None:
            return
        if not self._claim.holds(self.path) or not (self.path / "config.toml").exists():
            raise ElmanError(
                f"{self.path}: the run folder was deleted, moved or replaced during training, so "
                "the run is lost: train again, and do not move its folder"
            )

    def configure(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration."""
        self.config = config
        with replacing(self.path / "config.toml") as file:
            tomli_w.dump(config, file)

    def save(self, which: str, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint ``which``: "last" or "best".

        Raises:
            CheckpointError: it cannot be written; the previous one is kept.
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
            CheckpointError: it does not exist, or is damaged.
        """
        self.check()
        folder = current(self._folder(which))
        if not folder.exists():
            named = which in ("last", "best")
            stopped = "the run was stopped before it wrote one: resume it, or start it again"
            raise CheckpointError(
                f"{self.path}: no checkpoint {which!r}: {stopped if named else 'use last or best'}"
            )
        return Checkpoint.read(folder)

    @property
    def begun(self) -> bool:
        """Whether the run has a checkpoint."""
        return current(self._folder("last")).exists()

    def where(self, which: str, part: str) -> Path:
        """The file of a part of a checkpoint, for error messages."""
        return current(self._folder(which)) / f"{part}.safetensors"

    def log(self, event: Mapping[str, Any]) -> None:
        """Append an event to metrics.jsonl, completely or not at all; NaN and infinity are null."""
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
        """All events of metrics.jsonl; damaged lines are skipped with a warning.

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
            log.warning("%s, line %d: skipped: %s", self._metrics, *bad)
        return [event for event in read if not isinstance(event, BadLine)]

    @property
    def metrics_bytes(self) -> int:
        return self._metrics.stat().st_size if self._metrics.exists() else 0

    def rewind_metrics(self, size: int) -> None:
        """Cut metrics.jsonl to its size at a checkpoint; later lines will be written again.

        An incomplete last line, as a crash leaves it, is cut, too, or the next one would follow it.
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
            return f"{self._successor.target} is unchanged: make room, then start again"
        if not current(self._folder(which)).exists():
            return "make room, then start again"
        return "the previous checkpoint is intact: make room, then resume the run"

    def _take_place(self) -> None:
        """Replace the previous run, once this one has a checkpoint."""
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
    """A line of metrics.jsonl that is not an event, and why."""

    line: int
    reason: str


def _event(number: int, line: bytes) -> dict[str, Any] | BadLine:
    try:
        event = json.loads(line)
    except RecursionError:
        return BadLine(number, "nested too deeply")
    except ValueError:
        return BadLine(number, "not a complete line of JSON, as after a crash")
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return BadLine(number, "expected an object with the key event")
    return event


def _occupied(path: Path, force: bool) -> bool:
    """Whether there is a run to replace at a path."""
    recover(path)
    if not path.exists():
        return False
    if not path.is_dir() or (any(path.iterdir()) and not (path / "config.toml").exists()):
        raise ConfigError(f"{path}: exists and is not a run folder: choose another path")
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
