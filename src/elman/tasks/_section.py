"""Sections of a configuration: typed, bounded, and refused as a whole with every problem named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from enum import Enum
from os import PathLike
from reprlib import Repr
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from elman._errors import ConfigError, kind_of, nearest

FROM_MEMORY = (
    "(data are read from files: write it to one, a table by .to_csv('rows.csv', index=False), and "
    "give its path; or make a task of your own, whose rows are tensors)"
)
DEEPEST = 8
"""Levels of values that are looked through; no configuration has as many."""
_PLAIN = (str, bytes, int, float, PathLike, BaseModel, date, time, Enum)

SHORT = Repr()
"""Values in messages: none of them longer than a line or two, however deep it is nested."""
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 120
SHORT.maxlevel = 3


class Section(BaseModel):
    """A part of a configuration; a subclass lists its keys as pydantic fields.

    Unknown keys, wrong types and values out of bounds are errors.

    Example:
        >>> class Data(Section):
        ...     lanes: int = 20
        >>> Data.parse({"lanes": "32"}).lanes
        32
        >>> Data.parse({"lane": 32})
        Traceback (most recent call last):
        elman._errors.ConfigError: lane: unknown key; did you mean 'lanes'? choose from: lanes
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """The section with those values.

        Raises:
            ConfigError: anything is wrong; the message has one line for each problem.
        """
        strange = [*_strange(values)]
        if strange:
            raise ConfigError("\n".join(strange))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [_line(cls, problem) for problem in error.errors()]
        raise ConfigError("\n".join(lines))


TRAINING: Mapping[str, Any] = MappingProxyType(
    {"optimizer": "adam", "schedule": "cosine", "warmup": 100, "clip_limit": 1.0}
)
"""What tasks set in ``[train]``, beside the learning rate and the length of a run."""


class Sections(NamedTuple):
    """What a task adds to a configuration: two sections, and its own defaults for ``[train]``.

    ``windows`` says whether its batches are cut in time, so that ``[train]`` has bptt and k1;
    ``generate`` is what `elman generate` can be asked for, seed included, where there is something.
    """

    data: type[Section]
    model: type[Section]
    train: Mapping[str, Any]
    windows: bool = False
    generate: type[Section] | None = None


def _strange(value: Any, place: tuple[str, ...] = ()) -> Iterator[str]:
    """A line for each value that no file could hold: a table, an array, a tensor ..."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    elif value is not None and not isinstance(value, _PLAIN):
        where = f"{'.'.join(place)}: " if place else ""
        how = f" {FROM_MEMORY}" if place[:1] == ("data",) or len(place) < 2 else ""
        yield f"{where}expected what a configuration file can hold, got {kind_of(value)}{how}"
    for key, inner in pairs if len(place) < DEEPEST else ():
        yield from _strange(inner, (*place, str(key)))


def _line(section: type[BaseModel], problem: Any) -> str:
    place = [str(part) for part in problem["loc"]]
    where = ".".join(place) + ": " if place else ""
    if problem["type"] == "extra_forbidden":
        return f"{where}unknown key; {nearest(place[-1], _keys(section, place[:-1]))}"
    if problem["type"] == "path_type":
        return f"{where}expected the path of a file, got {kind_of(problem['input'])} {FROM_MEMORY}"
    message = problem["msg"].removeprefix("Value error, ")
    problem_text = message[:1].lower() + message[1:]
    if not place or ", got " in message:
        return f"{where}{problem_text}"
    return f"{where}{problem_text}, got {SHORT.repr(problem['input'])}"


def _keys(section: type[BaseModel], place: list[str]) -> list[str]:
    """The keys of the section that lies at that place inside another."""
    for name in place:
        inner = section.model_fields[name].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        section = inner
    return list(section.model_fields)
