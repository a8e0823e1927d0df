"""The command that trains a run again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from elman._errors import ConfigError
from elman.tasks import TASKS
from elman.training import Config, config_class

SHORT = {
    "train.seed": "seed",
    "train.device": "device",
    "train.watch": "watch",
    "data.name": "data",
    "data.valid": "valid",
    "data.test": "test",
    "data.on_bad_row": "on-bad-row",
}
"""Settings that the command gives in their short form."""


def command(config: Mapping[str, Any]) -> str | None:
    """The command line of a run; None for a custom task, which is trained by its own script.

    Settings that follow from others, such as those of a named data set, are left out.

    >>> command({"task": "language", "data": {"train": ["my book.txt"]}, "train": {"lr": 0.01}})
    "elman train language 'my book.txt' --train.lr 0.01"
    >>> own = config_class("classify").parse({"data": {"name": "parity"}, "train": {"seed": 3}})
    >>> command(own.toml())
    'elman train classify --data parity --seed 3'
    """
    if config.get("task") not in dict(TASKS):
        return None
    own = config_class(config["task"]).parse(config)
    chosen = _chosen(own)
    files = chosen.pop("data.train", [])
    words = ["elman", "train", config["task"], *map(str, files)]
    for key, value in chosen.items():
        words += _flags(key, value, switch=_is_switch(own, key))
    return shlex.join(words)


def _chosen(own: Config) -> dict[str, Any]:
    """The fewest settings that imply all others, in the order of the configuration."""
    schema, whole = type(own), dict(_leaves(own))
    chosen: dict[str, Any] = {}
    while (implied := _implied(schema, chosen)) != own:
        there = dict(_leaves(implied)) if implied else {}
        chosen |= {k: v for k, v in whole.items() if k not in there or there[k] != v}
    for key in reversed(whole):  # a data set comes first and implies later settings
        rest = {other: value for other, value in chosen.items() if other != key}
        if key in chosen and _implied(schema, rest) == own:
            chosen = rest
    return {key: chosen[key] for key in whole if key in chosen}


def _implied(schema: type[Config], chosen: Mapping[str, Any]) -> Config | None:
    """The configuration with these settings; None if they are not valid on their own."""
    tree: dict[str, dict[str, Any]] = {}
    for key, value in chosen.items():
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = value
    try:
        return schema.parse(tree)
    except ConfigError:
        return None


def _leaves(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _is_switch(own: Config, key: str) -> bool:
    section, _, name = key.partition(".")
    return type(getattr(own, section)).model_fields[name].annotation is bool


def _flags(key: str, value: Any, *, switch: bool = False) -> list[str]:
    flag = f"--{SHORT.get(key, key)}"
    match value:
        case bool() if switch:
            return [flag if value else "--" + ".no-".join(key.split("."))]
        case bool():
            return [f"{flag}={str(value).lower()}"]  # of a setting that the task may choose
        case list():
            return [word for each in value for word in (flag, str(each))]
        case dict():
            return [word for name, each in value.items() for word in _flags(f"{key}.{name}", each)]
        case tuple():
            return [flag, *map(str, value)]
    return [flag, "none" if value is None else str(value)]
