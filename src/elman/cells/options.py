"""The options of a cell's constructor: its signature, and the values of a configuration."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from elman._errors import ConfigError, nearest
from elman.cells.references import line_of, place_of

if TYPE_CHECKING:
    from elman.cells._base import Cell

__all__ = ["Option", "construct", "options_of", "parse_options"]

Option: TypeAlias = bool | int | float | str | None
"""What an option of a configuration can be."""

PLAIN = (bool, int, float, str, NoneType)
SIZES = 2
"""The first parameters of a constructor: input_size and hidden_size."""
NOT_OPTIONS = ("device", "dtype")
"""What the layer around a cell decides."""
SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def options_of(kind: type[Cell]) -> dict[str, inspect.Parameter]:
    """The options of a cell's constructor, with those that it passes on to its base class.

    Args:
        kind: a cell class, made by (input_size, hidden_size, options ...).

    Example:
        >>> import elman
        >>> list(options_of(elman.cells.Elman))
        ['activation', 'bias']
    """
    options: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        init = vars(base).get("__init__")
        if init is None:
            continue
        hints = _hints(init)
        parameters = list(inspect.signature(init).parameters.values())[1:]
        sizes = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][:SIZES]
        for each in parameters:
            if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) or each.name in sizes:
                continue
            options.setdefault(each.name, each.replace(annotation=hints.get(each.name)))
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return {name: each for name, each in options.items() if name not in NOT_OPTIONS}


def parse_options(
    kind: type[Cell], options: Mapping[str, Option], hidden: Iterable[str] = ()
) -> dict[str, Option]:
    """The options in the types of the constructor's signature: int, float, bool, str or None.

    Args:
        kind: a cell class.
        options: values of a configuration; text as a flag has it is converted.
        hidden: options that cannot be set here.

    Raises:
        ConfigError: an unknown option, with the nearest, or a value of another type.

    Example:
        >>> import elman
        >>> parse_options(elman.cells.GRU, {"bias": "false"})
        {'bias': False}
    """
    known = {name: each for name, each in options_of(kind).items() if name not in set(hidden)}
    problems, typed = [], {}
    for name, value in options.items():
        if name not in known:
            choices = nearest(name, known) if known else "it has none"
            problems.append(f"unknown option {name} of {kind.__name__}; {choices}")
            continue
        try:
            typed[name] = _convert(value, known[name])
        except ValueError as error:
            problems.append(f"option {name} of {kind.__name__} must be {error}, got {value!r}")
    if problems:
        raise ConfigError("; ".join(problems))
    return typed


def construct(kind: type[Cell], options: Mapping[str, Any]) -> Cell:
    """A small cell, which shows that the constructor takes two sizes and these options.

    Raises:
        ConfigError: it does not; with the line.
    """
    import torch

    required = [n for n, p in options_of(kind).items() if p.default is p.empty and n not in options]
    if required:
        raise ConfigError(
            f"{line_of(kind)}: {kind.__name__} needs the option {', '.join(required)}: give it as "
            + " ".join(f"--model.options.{name} VALUE" for name in required)
        )
    try:
        with torch.random.fork_rng(devices=()):
            return kind(8, 16, **options)
    except Exception as error:
        file = Path(inspect.getsourcefile(kind) or kind.__module__)
        raise ConfigError(
            f"{place_of(error, file)}: {kind.__name__}(8, 16) raised {type(error).__name__}: "
            f"{error}; the constructor must accept (input_size, hidden_size)"
        ) from error


def _hints(init: Any) -> dict[str, Any]:
    """The annotations of a constructor, as far as its module lets them be evaluated."""
    try:
        return get_type_hints(init)
    except Exception:  # noqa: BLE001 - names that only type checkers import, and anything else
        return {}


def _convert(value: Option, parameter: inspect.Parameter) -> Option:
    """The value in a type of the parameter; a ValueError says which there are."""
    kinds, choices = _kinds(parameter)
    if NoneType in kinds and (value is None or str(value).lower() == "none"):
        return None
    if choices and value not in choices:
        raise ValueError(f"one of {', '.join(map(str, choices))}")
    if type(value) in kinds and not (isinstance(value, str) and len(kinds) > 1):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        return float(value)
    if isinstance(value, str):
        for read in (kind for kind in (bool, int, float, str) if kind in kinds):
            try:
                return SWITCH[value.lower()] if read is bool else read(value)
            except (KeyError, ValueError):
                continue
    plain = [kind.__name__.replace("NoneType", "none") for kind in kinds]
    raise ValueError(" or ".join(plain) or "set in Python: a configuration cannot hold it")


def _kinds(parameter: inspect.Parameter) -> tuple[list[type], list[Any]]:
    """The plain types that a parameter takes, and its choices if it lists them."""
    hint, default = parameter.annotation, parameter.default
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    choices = [c for m in members if get_origin(m) is Literal for c in get_args(m)]
    kinds = [m for m in members if m in PLAIN] + list(dict.fromkeys(type(c) for c in choices))
    untyped = hint is None
    if untyped and default is not parameter.empty and default is not None:
        kinds = [type(default)] if type(default) in PLAIN else []
    elif untyped:
        kinds = list(PLAIN)
    if default is None and NoneType not in kinds:
        kinds.append(NoneType)
    return kinds, choices


def __dir__() -> list[str]:
    return sorted(__all__)
