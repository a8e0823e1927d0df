"""The copy of a cell's file in the run folder: for people to read, never executed by loading."""

from __future__ import annotations

import hashlib
import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman._errors import CheckpointError
from elman._files import read_plain, replacing
from elman.cells import by_name
from elman.cells.references import is_own

if TYPE_CHECKING:
    from elman.cells import Cell

__all__ = ["SUMS", "copy_in", "save", "warn_of_changes"]

log = logging.getLogger(__name__)

FOLDER, SUMS = Path("cell"), Path("cell", "SHA256SUMS")
"""Where the copy is, and its hash, in the format of sha256sum."""


def save(run: Path, model: Any) -> None:
    """Copy the file of the user's own cell into the run folder, with its hash.

    Args:
        run: the run folder.
        model: the section ``[model]``, which may have no cell, or one that comes with elman.
    """
    kind = _own(model)
    file = None if kind is None else _file_of(kind)
    if file is None:
        return
    content = read_plain(file)
    with replacing(run / FOLDER / file.name) as copy:
        copy.write(content)
    with replacing(run / SUMS) as sums:
        sums.write(f"{hashlib.sha256(content).hexdigest()}  {file.name}\n".encode())


def copy_in(run: Path) -> Path:
    """The copy of the cell's file in a run folder.

    Raises:
        CheckpointError: there is none.
    """
    copies = sorted((run / FOLDER).glob("*.py"))
    if len(copies) != 1:
        raise CheckpointError(
            f"{run / FOLDER}: expected a copy of the cell's file, got {len(copies)}: pass the "
            "cell, as --model.cell FILE.py:Class"
        )
    return copies[0]


def warn_of_changes(run: Path, model: Any) -> None:
    """Log a warning if the cell's file is not the one that the run was trained with."""
    kind = _own(model)
    file = None if kind is None else _file_of(kind)
    try:
        recorded = read_plain(run / SUMS).decode(errors="replace").split()[:1]
    except OSError:
        return
    if file and recorded != [hashlib.sha256(read_plain(file)).hexdigest()]:
        log.warning(
            "%s: the cell was %s when this run was trained, and has changed since: compare it "
            "with %s",
            file,
            recorded[0][:12] if recorded else "another",
            run / FOLDER,
        )


def _own(model: Any) -> type[Cell] | None:
    """The class of a cell that does not come with elman."""
    cell = getattr(model, "cell", None)
    return by_name(cell) if isinstance(cell, str) and is_own(cell) else None


def _file_of(kind: type) -> Path | None:
    """The file of a class; None in a notebook."""
    try:
        file = inspect.getsourcefile(kind)
    except TypeError:
        return None
    return Path(file) if file and Path(file).is_file() else None


def __dir__() -> list[str]:
    return sorted(__all__)
