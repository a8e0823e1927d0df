"""``elman selftest``: what elman promises, checked on this machine and on a cell of one's own."""

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
    """Check on this machine that the engines compute what they promise: about a minute.

    Exit code 0 if every check is ok, 1 if one has failed.

    Parameters
    ----------
    cell
        A cell of your own to check too, as FILE.py:Class. The file is run.
    seed
        Draws the random configurations.
    cases
        How many random configurations.
    json
        One JSON object a line: what this machine is, each check, and the counts.
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
    """A check for people: how it came out, what it is, figures or the reason, and its time."""
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
            'Until it is mended, elman.use_engine("reference") avoids the engine'
        )


def load(place: str) -> Any:
    """The class of a cell, from ``FILE.py:Class``; a ConfigError says what is wrong with it."""
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
        hint = nearest(name, cells) if cells else "it defines no cell"
        raise ConfigError(f"{file} has no {name}: {hint}")
    kind = getattr(module, name)
    if not (isinstance(kind, type) and issubclass(kind, Cell)):
        raise ConfigError(
            f"{name} of {file} is no elman.cells.Cell: expected a subclass of it, got "
            f"{kind.__name__ if isinstance(kind, type) else type(kind).__name__}"
        )
    try:
        kind(3, 5)
    except Exception as error:
        raise ConfigError(
            f"{_place_of(error, file)}: {name}(3, 5) raised {type(error).__name__}: {error}; a "
            "cell is made from (input_size, hidden_size)"
        ) from error
    return kind


def _module(file: Path) -> Any:
    """The file, run as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"cell_file_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where pickle and copy look for its classes
    sys.path.insert(0, str(file.parent.resolve()))  # and Python for what it imports from beside it
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
    """The file with the last of its lines that the error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file.resolve()]
    return f"{file}:{lines[-1]}" if lines else str(file)
