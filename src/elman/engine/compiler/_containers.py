"""The containers of Python that a step may read, and whether it changes them."""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from operator import is_
from typing import Any

CONTAINERS = (list, dict, set, frozenset, OrderedDict, types.MappingProxyType)
MOST_ENTRIES = 64


def entries(container: Any) -> list[Any]:
    """The keys of a container, if it has any, and its values."""
    keyed = isinstance(container, Mapping)
    return [*container, *container.values()] if keyed else [*container]


def changed(containers: Iterable[tuple[str, Any, list[Any]]]) -> str:
    """The name of the first container whose entries have changed, or ""."""
    for name, container, before in containers:
        now = entries(container)
        if len(now) != len(before) or not all(map(is_, now, before)):
            return name
    return ""


def copied(value: Any) -> Any:
    """A copy of a plain container and of the containers in it; other values are shared."""
    if type(value) is dict:
        return {key: copied(each) for key, each in value.items()}
    if type(value) in (list, set):
        return type(value)(map(copied, value))
    return value


def count(value: Any) -> int:
    """The number of entries, with those of nested containers; it stops above MOST_ENTRIES."""
    number = 0
    for each in value.values() if isinstance(value, Mapping) else value:
        number += 1 + (count(each) if isinstance(each, (tuple, *CONTAINERS)) else 0)
        if number > MOST_ENTRIES:
            break
    return number
