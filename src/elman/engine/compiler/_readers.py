"""Readers: how what lies on the way to a value is read again, at each call.

A reader appends leaves to a list: values that never change themselves, so that two lists can be
compared by identity. It appends as many, in the same order, for as long as the leaves stay the
same; and it keeps nothing of what it reads, so that this can be freed.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from operator import attrgetter, itemgetter
from typing import Any

from torch.nn.modules.module import _has_any_global_hook

Leaves = list[Any]
Reader = Callable[[Any, Leaves], None]


def has_any_global_hook() -> bool:
    """Whether torch calls something at each call of any module."""
    return bool(_has_any_global_hook())  # type: ignore[no-untyped-call]


def take(reader: Reader | None, value: Any, out: Leaves) -> None:
    if reader is None:
        out.append(value)
    else:
        reader(value, out)


def token(value: Any, out: Leaves) -> None:
    """Only which object it is: its contents are read where the walk met it first."""
    out.append(weakref.ref(value))


def presence(value: Any, out: Leaves) -> None:
    """Appends only whether the value is None."""
    out.append(value is None)


def content(cell: types.CellType) -> Any:
    """What a variable of a closure holds."""
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None


def parts_reader(gets: Iterable[Any], readers: Iterable[Reader | None]) -> Reader:
    """Reads parts of a value, each by its own reader."""
    parts = [*zip(gets, readers, strict=True)]

    def read(value: Any, out: Leaves) -> None:
        for get, reader in parts:
            take(reader, get(value), out)

    return read


def mapping_reader(readers: Mapping[str, Reader | None], absent: Iterable[str] = ()) -> Reader:
    """Reads entries by name, and that others are still absent."""
    leaves = tuple(name for name, reader in readers.items() if reader is None)
    followed = [(name, reader) for name, reader in readers.items() if reader is not None]
    get, absent = _getter(itemgetter, leaves), frozenset(absent)

    def read(scope: Any, out: Leaves) -> None:
        if get is not None:
            out += get(scope)
        for name, reader in followed:
            reader(scope[name], out)
        if absent:
            out.append(scope.keys().isdisjoint(absent))

    return read


def function_reader(
    leaves: Iterable[str],
    parts: Iterable[tuple[Any, Reader]],
    outer: list[Reader | None],
    around: Reader | None,
) -> Reader:
    # attrgetter and itemgetter read several names in C, at a fraction of the time of a loop.
    direct, parts = _getter(attrgetter, ["__code__", *leaves]), tuple(parts)
    plain = not any(outer)

    def read(f: Any, out: Leaves) -> None:
        out.append(weakref.ref(f))
        out += direct(f)
        for get, reader in parts:
            reader(get(f), out)
        if plain and outer:
            out += [cell.cell_contents for cell in f.__closure__]
        elif outer:
            for cell, its in zip(f.__closure__, outer, strict=True):
                take(its, cell.cell_contents, out)
        if around is not None:
            around(f.__globals__, out)

    return read


def _getter(kind: Any, names: Collection[str]) -> Any:
    """A getter that returns a tuple, for a single name too; None for no names."""
    return kind(*names, *names) if len(names) == 1 else kind(*names) if names else None


def class_reader(direct: Collection[str], inner: list[tuple[int, Reader]]) -> Reader:
    get = _getter(attrgetter, direct)

    def read(kind: Any, out: Leaves) -> None:
        out.append(weakref.ref(kind))
        if get is not None:
            out += get(kind)
        for i, reader in inner:
            reader(kind.__mro__[i].__dict__, out)

    return read


def module_reader(
    of_class: Reader | None, own: Reader, whole: bool, hooks: tuple[str, ...], children: Reader
) -> Reader:
    def read(module: Any, out: Leaves) -> None:
        take(of_class, type(module), out)
        scope = module.__dict__
        if whole:  # an attribute that is added would not be read otherwise
            out.append(len(scope))
        own(scope, out)
        if hooks:
            out += [len(scope[name]) for name in hooks]
            out.append(has_any_global_hook())
        inner = scope["_modules"]
        if inner:
            out += inner
            children(inner, out)

    return read


def both_reader(of_cell: Reader, of_kind: Reader, kind: type) -> Reader:
    known = weakref.ref(kind)

    def read(cell: Any, out: Leaves) -> None:
        of_cell(cell, out)
        of_kind(known(), out)

    return read
