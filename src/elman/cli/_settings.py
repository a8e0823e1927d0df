"""Settings from flags, environment variables and TOML files, in this order of precedence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from elman._errors import ConfigError, likeliest
from elman._files import read_toml as parsed_toml
from elman._files import why

PREFIX = "ELMAN_"
ANY = ".NAME"
"""The end of the key of a setting that has a value for each of several names."""


class Setting(NamedTuple):
    """A setting such as ``model.hidden``: its type, default and description."""

    key: str
    hint: Any
    default: Any
    description: str


def settings_of(model: BaseModel, section: str = "") -> Iterator[Setting]:
    """All settings of a configuration, with its values as their defaults."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from settings_of(value, f"{section}{name}.")
        elif is_named(field.annotation):
            yield Setting(section + name + ANY, str | None, value, field.description or "")
        elif get_origin(field.annotation) is not Literal or len(get_args(field.annotation)) > 1:
            yield Setting(section + name, field.annotation, value, field.description or "")


def is_named(hint: Any) -> bool:
    """Whether a setting has a value for each of several names, such as ``model.options``."""
    return any(get_origin(member) is dict for member in (hint, *get_args(hint)))


def setting_for(key: str, known: Mapping[str, Setting]) -> Setting | None:
    """The setting of a key: its own, or that of a section of names, ``model.options.slope``."""
    return known.get(key) or known.get(f"{key.rpartition('.')[0]}{ANY}")


def typed(hint: Any, words: Sequence[str], earlier: Any = None) -> Any:
    """The words of a flag as a value for pydantic: lists grow, "none" is None if allowed.

    >>> typed(list[str], ["b"], ["a"]), typed(int | None, ["none"]), typed(int, ["3"])
    (['a', 'b'], None, '3')
    """
    if get_origin(hint) in (list, tuple):
        return [*(earlier or [] if get_origin(hint) is list else []), *words]
    return None if type(None) in get_args(hint) and words[0].lower() == "none" else words[0]


def merged(
    config: BaseModel,
    files: Sequence[Path],
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
) -> tuple[dict[str, Any], list[str]]:
    """Merge the settings of all sources into one nested tree, and collect their problems.

    ``model.options`` belong to the cell that is named with them: a source that names another cell
    does not get those of the sources before.

    Args:
        config: the configuration with its defaults.
        files: TOML files; later ones override earlier ones.
        flags: values by dotted key; keys that are not settings are ignored.
        environment: variables such as ``ELMAN_MODEL_HIDDEN`` for ``model.hidden``; the elements
            of a list are separated as in PATH.
    """
    tree: dict[str, Any] = {}
    for file in files:
        settings = read_toml(file)
        model = settings.get("model")
        _choose_cell(tree, model.get("cell") if isinstance(model, dict) else None)
        _merge(tree, settings)
    known = {setting.key: setting for setting in settings_of(config)}
    values, problems = _from_environment(known, type(config), environment)
    values |= flags
    _choose_cell(tree, values.get("model.cell"))
    for key, value in values.items():
        if setting_for(key, known):
            _set(tree, key, value)
    return tree, problems


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file; a ConfigError if it cannot be read."""
    try:
        return parsed_toml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read as TOML: {why(error)}; "
            "`elman init language` prints a valid one"
        ) from error


def _from_environment(
    known: Mapping[str, Setting], config: type[BaseModel], environment: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    keys = {PREFIX + key.replace(".", "_").upper(): key for key in known}
    ours = tuple(f"{PREFIX}{section.upper()}_" for section in config.model_fields)
    sections = {
        PREFIX + k.removesuffix(ANY).replace(".", "_").upper() + "_": k
        for k in known
        if k.endswith(ANY)
    }
    values, problems = {}, []
    for name, value in environment.items():
        if section := next((each for each in sections if name.startswith(each)), None):
            key = sections[section].removesuffix("NAME") + name.removeprefix(section).lower()
            values[key] = typed(known[sections[section]].hint, [value])
        elif name in keys:
            hint = known[keys[name]].hint
            words = value.split(os.pathsep) if get_origin(hint) in (list, tuple) else [value]
            values[keys[name]] = typed(hint, words)
        elif name.startswith(ours):
            guess = likeliest(name.removeprefix(PREFIX).replace("_", ".", 1).lower(), [*known])
            meant = guess and next(variable for variable, key in keys.items() if key == guess)
            problems.append(f"unknown variable {name}" + f": did you mean {meant!r}?" * bool(meant))
    return values, problems


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            return  # a file has a value in place of a section, which the schema will reject
    tree[name] = value


def _choose_cell(tree: dict[str, Any], cell: Any) -> None:
    """Leaves out the options of the cell that sources before named, if this one names another."""
    model = tree.get("model")
    if cell is not None and isinstance(model, dict) and model.get("cell", cell) != cell:
        model.pop("options", None)


def _merge(tree: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value
