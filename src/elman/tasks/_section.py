"""Sections of a configuration: typed, bounded, and refused as a whole with every problem named."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from elman._errors import ConfigError, nearest

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
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [_line(cls, problem) for problem in error.errors()]
        raise ConfigError("\n".join(lines))


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


def _line(section: type[BaseModel], problem: Any) -> str:
    place = [str(part) for part in problem["loc"]]
    where = ".".join(place) + ": " if place else ""
    if problem["type"] == "extra_forbidden":
        return f"{where}unknown key; {nearest(place[-1], _keys(section, place[:-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    said = message[:1].lower() + message[1:]
    return f"{where}{said}" + (f", got {SHORT.repr(problem['input'])}" if place else "")


def _keys(section: type[BaseModel], place: list[str]) -> list[str]:
    """The keys of the section that lies at that place inside another."""
    for name in place:
        inner = section.model_fields[name].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        section = inner
    return list(section.model_fields)
