"""What a page and the server say to each other: JSON over a socket, with bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from reprlib import Repr
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from elman._errors import ConfigError, nearest

LONGEST_MESSAGE = 65_536
"""Bytes of a message of the page."""
LONGEST_LINE = 1_048_576
"""Bytes of an event of the worker."""
ENDS = frozenset(("end", "error", "stopped"))
"""Events that end an answer."""
MOST_NUMBERS = 256
"""Numbers in one array of an event."""

SHORT = Repr()
"""A value of the page in a message."""
SHORT.maxstring = SHORT.maxother = 60

Event: TypeAlias = dict[str, object]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: int = Field(ge=0, lt=2**53)


class AskMessage(_Message):
    """The page asks; the answer's events have ``of``, this id."""

    do: Literal["ask"]
    name: str = Field(max_length=64)
    settings: dict[str, Any] = {}


class StopMessage(_Message):
    """The page wants no more of an answer."""

    do: Literal["stop"]


Message: TypeAlias = AskMessage | StopMessage
_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="do")])


class BadMessage(Exception):
    """A message that is none; ``of`` is its id, if it has one."""

    def __init__(self, message: str, of: int | None = None) -> None:
        super().__init__(message)
        self.of = of


def read_message(text: str) -> Message:
    """A message of the page.

    Raises:
        BadMessage: it is not one.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage('a message must be JSON, such as {"do": "stop", "id": 1}') from None
    of = tree.get("id") if isinstance(tree, dict) else None
    try:
        return _MESSAGES.validate_python(tree)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadMessage(f"message{'.' if where else ''}{where}: {first['msg']}", _id(of)) from None


def _id(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_settings(kind: type[BaseModel], values: Mapping[str, Any]) -> BaseModel | list[Event]:
    """The settings, or a list of the problems: each with ``where``, a field, and ``message``."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        return [_problem(kind, problem) for problem in error.errors(include_url=False)]


def _problem(kind: type[BaseModel], problem: Any) -> Event:
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return {"where": where, "message": f"Unknown setting; {nearest(where, kind.model_fields)}"}
    message = problem["msg"].removeprefix("Value error, ")
    got = repr(problem["input"])
    return {
        "where": where,
        "message": f"{message}, got {got if len(got) < 60 else got[:57] + '...'}",
    }


def config_problems(error: ConfigError, names: Mapping[str, str]) -> list[Event]:
    """The problems in an error of a run's configuration, at the settings that they come from.

    Args:
        error: its lines begin with dotted keys.
        names: the setting for each dotted key.
    """
    problems: list[Event] = []
    for line in str(error).splitlines():
        key, colon, message = line.partition(": ")
        where = names.get(key) or names.get(key.rpartition(".")[2], "")
        problems.append({"where": where, "message": message if colon and where else line})
    return problems


def error_event(problems: list[Event]) -> Event:
    """The event of settings that cannot be."""
    first = problems[0]
    return {"event": "error", **first, "problems": problems}


def encode(event: Mapping[str, object]) -> str:
    """An event as a line of JSON, whose numbers are finite or null.

    Raises:
        ValueError: an array has more numbers than a page is sent at once.

    >>> encode({"event": "probe", "radius": float("inf"), "gradient": [1.0, float("nan")]})
    '{"event": "probe", "radius": null, "gradient": [1.0, null]}'
    """
    return json.dumps(_finite(event), allow_nan=False)


def thinned(event: Mapping[str, Any]) -> Event:
    """An event whose long lists are thinned out evenly.

    >>> thinned({"event": "a", "y": list(range(511))})["y"][-2:]
    [508, 510]
    """
    return {name: _thin(value) for name, value in event.items()}


def _thin(value: Any) -> Any:
    match value:
        case Mapping():
            return thinned(value)
        case list() | tuple():
            step = max(1.0, (len(value) - 1) / (MOST_NUMBERS - 1))
            count = min(len(value), MOST_NUMBERS)
            return [_thin(value[round(i * step)]) for i in range(count)]
    return value


def _finite(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(key): _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            if len(value) > MOST_NUMBERS:
                raise ValueError(f"an array of an event has at most 256 entries, got {len(value)}")
            return [_finite(inner) for inner in value]
        case float():
            return value if math.isfinite(value) else None
    return value
