"""Public names of a package that are loaded when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple


class LazyNames(NamedTuple):
    """What a package calls ``__getattr__``, ``__dir__`` and ``__all__``."""

    getattr: Callable[[str], Any]
    dir: Callable[[], list[str]]
    all: list[str]


def lazy(package: str, homes: Mapping[str, str], own: Iterable[str] = ()) -> LazyNames:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names lie in its modules.

    Type checkers are told beside it, by ``from MODULE import NAME as NAME`` under
    ``TYPE_CHECKING``; a test compares the two.

    Args:
        package: the ``__name__`` of the package.
        homes: from a module of the package to the public names that it holds, with spaces between;
            from "" to those that are modules themselves.
        own: public names that the package itself defines.

    >>> names = lazy("elman", {"": "cells", "engine": "explain use_engine"})
    >>> names.all, names.getattr("cells").__name__, names.getattr("explain").__name__
    (['cells', 'explain', 'use_engine'], 'elman.cells', 'explain')
    """
    where = {name: home for home, names in homes.items() for name in names.split()}
    public = sorted([*own, *where])

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = where[name]
        module = import_module(f"{package}.{home or name}")
        return getattr(module, name) if home else module

    return LazyNames(get, public.copy, public)
