"""Reads the config.toml of a run without torch, so that a wrong path fails at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elman._errors import CheckpointError
from elman._files import read_toml, why
from elman.training._config import FORMAT


def read_config(path: Path) -> dict[str, Any]:
    """The resolved configuration of a run.

    Raises:
        CheckpointError: the path is not a run folder, or has another format.
    """
    file = path / "config.toml"
    try:
        config = read_toml(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = "it has no config.toml" if path.is_dir() else "no such folder"
        raise CheckpointError(
            f"{path}: not a run folder: {missing}; expected a folder written by `elman train`, "
            "such as runs/language-1"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{file}: cannot be read: {why(error)}; use another run, or train again"
        ) from error
    check_format(file, config.get("format"))
    return config


def check_format(path: Path, version: Any) -> None:
    """Refuse a run folder of another format."""
    if version != FORMAT:
        raise CheckpointError(
            f"{path}: the run folder's format must be {FORMAT}, got {version!r}: "
            "use the elman version that wrote this run, or train again"
        )
