"""The user's own cell in commands that open a run: ``--model.cell`` and ``--trust``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from elman._errors import ConfigError
from elman.cli._output import Flag, log
from elman.cli._settings import Setting

if TYPE_CHECKING:
    from elman.cells import Cell

CELL = "for a run with a cell of your own: FILE.py:Class or package.module:Class, which is executed"
TRUST = "execute the copy of the cell's file in the run folder, whose path is printed first"

CellFlag: TypeAlias = Annotated[
    str | None, Parameter(name=("--model.cell", "--cell"), help=CELL, show_default=False)
]
TrustFlag: TypeAlias = Annotated[Flag, Parameter(help=TRUST)]
SETTINGS = (
    Setting("model.cell", str | None, None, CELL),
    Setting("trust", bool, False, TRUST),
)


@contextmanager
def own_cells(runs: Iterable[Path], cell: str | None, *, trust: bool = False) -> Iterator[None]:
    """Opens the block for runs whose cell does not come with elman.

    Args:
        runs: the run folders; their config.toml is read, so that a mistyped path fails first.
        cell: what the user names, which is executed.
        trust: execute the copies in the run folders instead.

    Raises:
        ConfigError: none of the runs has a cell of this name, or there is no copy to execute.
        CheckpointError: a path is not a run folder.
    """
    from elman.cells import provide, resolve
    from elman.training import read_config

    references = {run: _reference(read_config(run)) for run in runs}
    classes: dict[str, type[Cell]] = {}
    if cell is not None:
        kind = resolve(cell)
        classes[kind.__name__] = kind
        if kind.__name__ not in map(_class, references.values()):
            known = ", ".join(sorted({r for r in references.values() if r})) or "none"
            raise ConfigError(
                f"--model.cell must be the cell of the run, {known}, got {cell}: leave it out "
                "for a cell that comes with elman"
            )
    if trust:
        for run, reference in references.items():
            if ":" in reference and _class(reference) not in classes:
                classes[_class(reference)] = _trusted(run, reference)
    with provide(*classes.values()):
        yield


def _reference(config: dict[str, object]) -> str:
    model = config.get("model")
    return str(model.get("cell", "")) if isinstance(model, dict) else ""


def _class(reference: str) -> str:
    return reference.rpartition(":")[2]


def _trusted(run: Path, reference: str) -> type[Cell]:
    from elman.cells import resolve
    from elman.training import cell_file

    file = cell_file.copy_in(run)
    log(f"--trust executes {file.resolve()}")
    return resolve(f"{file}:{_class(reference)}")
