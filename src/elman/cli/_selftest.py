"""``elman selftest``: run elman's checks on this machine, and on a cell of your own."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman._errors import ConfigError, EngineError, nearest
from elman.cli._output import Flag, emit

if TYPE_CHECKING:
    from elman.testing import Check

FACTS = ("elman", "torch", "python", "processor", "capability", "threads")


def selftest(
    *,
    cell: Annotated[str | None, Parameter(show_default=False)] = None,
    seed: int = 0,
    cases: int = 300,
    json: Flag = False,
) -> None:
    """Check that the engines compute correctly on this machine; takes about a minute.

    Exit code 0 if all checks pass, 1 if one fails.

    Parameters
    ----------
    cell
        Also check a cell of your own, as FILE.py:Class. The file is executed.
    seed
        Seed of the random configurations.
    cases
        Number of random configurations.
    json
        Print one JSON object per line: the machine, each check, and the counts.
    """
    if cases < 1:
        raise ConfigError(f"--cases must be at least 1, got {cases}")
    if seed < 0:
        raise ConfigError(f"--seed must be at least 0, got {seed}")
    cells = None if cell is None else {cell.rpartition(":")[2]: load(cell)}
    from elman.cli._info import collect
    from elman.testing import selftest as checks

    facts = {name: fact for name, fact in collect().items() if name in FACTS} | {"seed": seed}
    if json:
        emit({"event": "start", **facts})
    else:
        print(", ".join(f"{name} {fact}" for name, fact in facts.items()), flush=True)
    done: list[Check] = []
    for check in checks(cells, seed=seed, cases=cases):
        done.append(check)
        emit({"event": "check", **check._asdict()}) if json else print(line(check), flush=True)
    _conclude(done, json=json)


def line(check: Check) -> str:
    """A check as text: its status, name, details and time."""
    words = f"{check.status:7}  {check.name}"
    return f"{words}: {check.detail} ({check.seconds:.1f} s)".replace(":  (", " (")


def _conclude(done: list[Check], *, json: bool) -> None:
    names = {s: [c.name for c in done if c.status == s] for s in ("ok", "FAILED", "skipped")}
    if json:
        counts = {"passed": len(names["ok"]), "failed": len(names["FAILED"])}
        emit({"event": "end", **counts, "skipped": len(names["skipped"])})
    else:
        more = [f"{len(names[s])} {s.lower()}" for s in ("FAILED", "skipped") if names[s]]
        print(", ".join([f"{len(names['ok'])} checks passed", *more]))
    if names["FAILED"]:
        raise EngineError(
            f"{len(names['FAILED'])} of {len(done)} checks failed: {'; '.join(names['FAILED'])}. "
            'Until this is fixed, elman.use_engine("reference") avoids the engine'
        )


def load(place: str) -> Any:
    """The cell class named by ``FILE.py:Class``; a ConfigError if it cannot be used."""
    path, colon, name = place.rpartition(":")
    file = Path(path)
    if not colon or not name.isidentifier() or file.suffix != ".py":
        raise ConfigError(f"expected --cell as FILE.py:Class, got {place!r}")
    if not file.is_file():
        raise ConfigError(f"{file}: no such file; expected --cell as FILE.py:Class")
    module = _module(file)
    from elman.cells import Cell

    cells = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Cell)
        and value.__module__ == module.__name__
    ]
    if not hasattr(module, name):
        hint = nearest(name, cells) if cells else "the file defines no cell"
        raise ConfigError(f"{file} has no {name}: {hint}")
    kind = getattr(module, name)
    if not (isinstance(kind, type) and issubclass(kind, Cell)):
        raise ConfigError(
            f"{name} in {file} must be a subclass of elman.cells.Cell, got "
            f"{kind.__name__ if isinstance(kind, type) else type(kind).__name__}"
        )
    try:
        kind(3, 5)
    except Exception as error:
        raise ConfigError(
            f"{_place_of(error, file)}: {name}(3, 5) raised {type(error).__name__}: {error}; the "
            "constructor must accept (input_size, hidden_size)"
        ) from error
    return kind


def _module(file: Path) -> Any:
    """The file, executed as a module."""
    spec = importlib.util.spec_from_file_location(f"cell_file_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pickle and copy look for its classes there
    sys.path.insert(0, str(file.parent.resolve()))  # for imports from the same folder
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ConfigError(f"{error.filename or file}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        message = f"{_place_of(error, file)}: {type(error).__name__}: {error}"
        raise ConfigError(f"{message}; the file must run on its own") from error
    finally:
        sys.path.remove(str(file.parent.resolve()))
    return module


def _place_of(error: Exception, file: Path) -> str:
    """The file, with its last line in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file.resolve()]
    return f"{file}:{lines[-1]}" if lines else str(file)
