"""Cells by reference: a name, ``FILE.py:Class``, ``package.module:Class``, or an entry point.

Only :func:`resolve` runs code, for a reference that the user of this process writes. A
configuration may come from a stranger's run folder, so whoever reads one asks :func:`lookup`, which
runs none. The entry points of the group ``elman.cells`` count as names: their packages are
installed. torch is imported only where a class is.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from elman._errors import ConfigError, nearest

if TYPE_CHECKING:
    from elman.cells._base import Cell

__all__ = [
    "FORMS",
    "GROUP",
    "check",
    "is_built_in",
    "is_cell",
    "is_own",
    "line_of",
    "lookup",
    "names",
    "place_of",
    "provide",
    "resolve",
]

GROUP = "elman.cells"
"""The group of entry points by which an installed package names its cells."""

FORMS = "a name of `elman cell list`, FILE.py:Class or package.module:Class"

_loaded: dict[str, type[Cell]] = {}  # what `resolve` has loaded in this process
_scope: ContextVar[tuple[type[Cell], ...]] = ContextVar("cells", default=())


def resolve(reference: str) -> type[Cell]:
    """The cell class of a reference, whose file or module is executed.

    For references of the user, never for those of a run folder. From then on
    `elman.cells.by_name`, and so every configuration of this process, knows the reference, too.

    Args:
        reference: a name, ``FILE.py:Class`` or ``package.module:Class``.

    Raises:
        ConfigError: the file cannot be read or executed, or has no such cell; with the line.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp(), "leaky.py")
        >>> _ = file.write_text('''
        ... import elman, torch
        ... class Leaky(elman.cells.PointwiseCell):
        ...     gates, states = ("z",), ("h",)
        ...     def pointwise(self, inp, rec, state):
        ...         return self.State(h=0.9 * state.h + 0.1 * torch.tanh(inp.z + rec.z))
        ... ''')
        >>> resolve(f"{file}:Leaky")(3, 5)
        Leaky(3, 5)
    """
    where, colon, name = reference.rpartition(":")
    if not colon:
        return lookup(reference)
    parts = where.split(".")
    if not name.isidentifier() or not where:
        raise ConfigError(f"the cell must be {FORMS}, got {reference!r}")
    if Path(where).suffix == ".py":
        module = _from_file(Path(where))
    elif all(part.isidentifier() for part in parts):
        module = _from_package(where)
    else:
        raise ConfigError(f"the cell must be {FORMS}, got {reference!r}")
    kind = _class_in(module, name, where)
    _loaded[reference] = kind
    return kind


@contextmanager
def provide(*cells: type[Cell]) -> Iterator[None]:
    """Inside the block, run folders whose cell has the name of one of these classes use it.

    A run folder says which file its cell came from, and that file is never executed: the class
    comes from whoever opens the folder.

    Args:
        cells: cell classes.

    Raises:
        ConfigError: two have one name, or one is no cell.

    Example:
        >>> import elman
        >>> class Mine(elman.cells.PointwiseCell):
        ...     gates, states = ("z",), ("h",)
        ...     def pointwise(self, inp, rec, state):
        ...         return self.State(h=(inp.z + rec.z).sin())
        >>> with provide(Mine):
        ...     elman.cells.by_name("a_file_elsewhere.py:Mine").__name__
        'Mine'
    """
    for cell in cells:
        _require_cell(cell, getattr(cell, "__name__", repr(cell)), "cells")
    labels = [cell.__name__ for cell in cells]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ConfigError(f"cells must have different names, got {', '.join(twice)} twice")
    token = _scope.set((*cells, *_scope.get()))
    try:
        yield
    finally:
        _scope.reset(token)


def names() -> list[str]:
    """The names of all cells: those of elman, and the entry points of installed packages."""
    from elman.cells import CELLS

    return list(dict.fromkeys([*(name for name, _ in CELLS), *(e.name for e in _installed())]))


def is_own(reference: str) -> bool:
    """Whether this refers to a cell that does not come with elman."""
    if ":" in reference:
        return True
    others = [*(e.name for e in _installed()), *(kind.__name__ for kind in _scope.get())]
    return not is_built_in(reference) and reference in others


def is_built_in(reference: str) -> bool:
    """Whether this is the name of a cell that comes with elman."""
    from elman.cells import CELLS

    return reference.lower() in dict(CELLS)


def is_cell(reference: str) -> bool:
    """Whether this refers to a cell: not to a network without recurrence, say."""
    return is_built_in(reference) or is_own(reference)


def check(reference: str, others: Iterable[str] = ()) -> None:
    """Refuses an unknown cell, without importing one that comes with elman.

    Args:
        reference: of a configuration.
        others: names that may stand in the place of a cell.

    Raises:
        ConfigError: as `lookup`.
    """
    if not is_built_in(reference) and reference not in others:
        lookup(reference, others)


def lookup(reference: str, others: Iterable[str] = ()) -> type[Cell]:
    """The cell class of a reference that a configuration has; no file and no module is executed.

    Raises:
        ConfigError: an unknown name, with the nearest; or a class that this process has not got.
    """
    from elman.cells import CELLS

    if where := dict(CELLS).get(reference.lower()):
        module, _, attribute = where.partition(":")
        built_in: type[Cell] = getattr(import_module(module), attribute)
        return built_in
    _, colon, name = reference.rpartition(":")
    for kind in _scope.get():
        if name == kind.__name__:
            return kind
    if reference in _loaded:
        return _loaded[reference]
    for entry in () if colon else _installed():
        if entry.name == reference:
            return _from_entry(entry)
    if not colon:
        choices = nearest(reference, [*names(), *others])
        raise ConfigError(f"unknown cell {reference!r}: {choices}; or FILE.py:Class for your own")
    raise ConfigError(
        f"the cell {reference} is not loaded, since a run folder must not choose which code runs: "
        f"pass --model.cell {reference} (to compare, --cells) if this is the file to execute, or "
        "--trust to execute the copy in the run folder; in Python, elman.load(RUN, "
        f"cells=[{name}]), or elman.cells.resolve({reference!r}) before the configuration is read"
    )


def line_of(kind: type) -> str:
    """The file and the line of a class, for messages; the name of its module if it has no file."""
    try:
        return f"{inspect.getsourcefile(kind)}:{inspect.getsourcelines(kind)[1]}"
    except (OSError, TypeError):
        return kind.__module__


@cache
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _from_entry(entry: EntryPoint) -> type[Cell]:
    try:
        kind = entry.load()
    except Exception as error:
        raise ConfigError(
            f"the entry point {entry.name} = {entry.value} cannot be loaded: "
            f"{type(error).__name__}: {error}; repair or remove its package"
        ) from error
    return _require_cell(kind, entry.name, f"the entry point {entry.value}")


def _from_file(file: Path) -> ModuleType:
    """The file, executed as a module; once for the same content."""
    if not file.is_file():
        problem = "not a file" if file.exists() else "no such file"
        raise ConfigError(f"{file}: {problem}: the cell must be {FORMS}")
    try:
        source = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    digest = hashlib.sha256(bytes(file.resolve()) + b"\0" + source).hexdigest()
    name = f"cell_file_{file.stem}_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickle and copy look for its classes there
    sys.path.insert(0, str(file.parent.resolve()))  # for imports from the same folder
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception):
            raise
        raise _broken(error, file) from error
    finally:
        sys.path.remove(str(file.parent.resolve()))
    return module


def _from_package(where: str) -> ModuleType:
    try:
        return import_module(where)
    except ModuleNotFoundError as error:
        if error.name and f"{where}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"no module {error.name!r}: install its package, or give the file, as FILE.py:Class"
            ) from error
        raise _broken(error, _file_of(where)) from error
    except Exception as error:
        raise _broken(error, _file_of(where)) from error


def _file_of(where: str) -> Path:
    spec = importlib.util.find_spec(where)
    return Path(spec.origin if spec and spec.origin else where)


def _broken(error: Exception, file: Path) -> ConfigError:
    """The error of a file that cannot be executed, with its line."""
    if isinstance(error, SyntaxError):
        return ConfigError(f"{error.filename or file}:{error.lineno}: {error.msg}")
    return ConfigError(
        f"{place_of(error, file)}: {type(error).__name__}: {error}; the file must run on its own"
    )


def place_of(error: Exception, file: Path) -> str:
    """The file, with its last line in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file.resolve()]
    return f"{file}:{lines[-1]}" if lines else str(file)


def _class_in(module: ModuleType, name: str, where: str) -> type[Cell]:
    from elman.cells._base import Cell

    if not hasattr(module, name):
        cells = [
            key
            for key, entry in vars(module).items()
            if isinstance(entry, type)
            and issubclass(entry, Cell)
            and entry.__module__ == module.__name__
        ]
        hint = nearest(name, cells) if cells else "it defines no cell"
        raise ConfigError(f"{where} has no {name}: {hint}")
    return _require_cell(getattr(module, name), name, where)


def _require_cell(kind: Any, name: str, where: str) -> type[Cell]:
    """The class, if it is a cell that can be built."""
    from elman.cells._base import Cell, PointwiseCell

    if not (isinstance(kind, type) and issubclass(kind, Cell)):
        got = kind.__name__ if isinstance(kind, type) else type(kind).__name__
        place = line_of(kind) if isinstance(kind, type) else where
        raise ConfigError(f"{place}: {name} must be a subclass of elman.cells.Cell, got {got}")
    needed = ("states", "gates") if issubclass(kind, PointwiseCell) else ("states",)
    gaps = [each for each in needed if not hasattr(kind, each)] + sorted(kind.__abstractmethods__)
    if gaps:
        raise ConfigError(
            f"{line_of(kind)}: {name} must define {', '.join(gaps)}: see `elman cell new`"
        )
    return kind


def __dir__() -> list[str]:
    return sorted(__all__)
