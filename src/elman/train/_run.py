"""The run folder: where a training run keeps all that it was told and all that came of it."""

from __future__ import annotations

import json
import math
import os
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from elman._errors import CheckpointError, ConfigError
from elman.data._files import replacing, writing_in
from elman.train._checkpoint import Checkpoint, check_format
from elman.train._folder import current, next_folder, replacing_folder


class Run:
    """A run folder on the disk.

    ==============================  ===============================================================
    config.toml                     the resolved configuration, the task's name and ``format``
    metrics.jsonl                   one event a line, as `elman.train.fit` reports them
    tokenizer.json, tokens/         the vocabulary and the encoded text of a language model
    task.json, rows/                what other tasks learned of their data, and the rows as numbers
    checkpoints/last, .../best      each is replaced as a whole, and holds:
    .../model.safetensors           parameters and buffers, tied ones once
    .../optimizer.safetensors       the optimiser's state, ``INDEX.KEY``; empty in best
    .../state.safetensors           the carried recurrent state, and torch's random state
    .../state.json                  ``format``, the position in the data, what early stopping
                                    counts, and how long metrics.jsonl was
    ==============================  ===============================================================

    A folder ``last.ready`` is newer than ``last``: a process was killed while it changed places.

    Example:
        >>> import tempfile
        >>> run = Run.create(Path(tempfile.mkdtemp(), "try"), {"task": "custom", "format": 1})
        >>> run.log({"event": "start"})
        >>> Run.open(run.path).events()
        [{'event': 'start'}]
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path, self.config = path, config

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], *, force: bool = False) -> Run:
        """Make a new run folder.

        Raises:
            ConfigError: the folder exists, without ``force``, or it is no run folder.
            DataError: it cannot be written.
        """
        if path.exists():
            _make_way(path, force)
        with writing_in(path):
            path.mkdir(parents=True, exist_ok=True)
        run = cls(path, config)
        run.configure(config)
        return run

    @classmethod
    def create_next(cls, directory: Path, name: str, config: Mapping[str, Any]) -> Run:
        """Make ``directory/NAME-N`` with the first free number above all that there are."""
        return cls.create(next_folder(directory, name), config)

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open a run folder.

        Raises:
            CheckpointError: it is none, or one of another format.
        """
        file = path / "config.toml"
        try:
            config = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{path}: not a run folder: there is no config.toml in it"
            ) from error
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file}: cannot be read: {error}") from error
        check_format(file, config.get("format"))
        return cls(path, config)

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
        checkpoint.progress["metrics_bytes"] = self.metrics_bytes
        try:
            with replacing_folder(self._folder(which)) as folder:
                checkpoint.write(folder)
        except OSError as error:
            raise CheckpointError(
                f"{self._folder(which)}: cannot be saved: {error.strerror or error}; "
                "the checkpoint before it is unharmed: make room, then resume the run"
            ) from error

    def load(self, which: str) -> Checkpoint:
        """Read the checkpoint ``which``: "last" or "best".

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        folder = current(self._folder(which))
        if not folder.exists():
            raise CheckpointError(
                f"{self.path}: has no checkpoint {which!r}: it was stopped before its first one, "
                "so start it again; or the name is wrong (last, best)"
            )
        return Checkpoint.read(folder)

    def where(self, which: str, part: str) -> Path:
        """The file of a part of a checkpoint, for messages."""
        return current(self._folder(which)) / f"{part}.safetensors"

    def log(self, event: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl; numbers that JSON does not have are null."""
        line = json.dumps(_finite(event), allow_nan=False) + "\n"
        try:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise CheckpointError(
                f"{self._metrics}: cannot be written: {error.strerror or error}; "
                "make room, then resume the run"
            ) from error

    def events(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl."""
        if not self._metrics.exists():
            return []
        lines = self._metrics.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def metrics_bytes(self) -> int:
        return self._metrics.stat().st_size if self._metrics.exists() else 0

    def rewind_metrics(self, size: int) -> None:
        """Drop the lines that were written after a checkpoint, which will be written again."""
        if size < self.metrics_bytes:
            os.truncate(self._metrics, size)

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def _folder(self, which: str) -> Path:
        return self.path / "checkpoints" / which


def _make_way(path: Path, force: bool) -> None:
    if not path.is_dir() or (any(path.iterdir()) and not (path / "config.toml").exists()):
        raise ConfigError(f"{path}: exists and is no run folder: choose another path")
    if any(path.iterdir()):
        if not force:
            raise ConfigError(
                f"{path}: this run exists: resume it, choose another path, or force its replacement"
            )
        shutil.rmtree(path)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
