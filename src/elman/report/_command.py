"""The command that trains a run again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from elman.tasks import TASKS
from elman.train import config_class

BUDGETS = {"epochs", "max_steps"}
"""Of these the one that is given replaces the other."""


def command(config: Mapping[str, Any]) -> str | None:
    """What to type; None for a task of one's own, which only its program can train.

    >>> command({"task": "language", "data": {"train": ["my book.txt"]}, "train": {"lr": 0.01}})
    "elman train language 'my book.txt' --train.lr 0.01"
    """
    if config.get("task") not in dict(TASKS):
        return None
    schema = config_class(config["task"])
    files = config.get("data", {}).get("train", [])
    usual = schema.parse({"data": {"train": files}} if files else {})
    words = ["elman", "train", config["task"], *map(str, files)]
    for key, value, switch in _different(schema.parse(config), usual):
        if key != "data.train":
            words += _flags(key, value, switch)
    return shlex.join(words)


def _different(
    own: BaseModel, default: BaseModel, section: str = ""
) -> Iterator[tuple[str, Any, bool]]:
    """The settings with another value than the default, and whether each is a switch."""
    for name, field in type(own).model_fields.items():
        value, usual = getattr(own, name), getattr(default, name)
        if isinstance(value, BaseModel):
            yield from _different(value, usual, f"{section}{name}.")
        elif value != usual and (value is not None or name not in BUDGETS):
            yield section + name, value, field.annotation is bool


def _flags(key: str, value: Any, switch: bool) -> list[str]:
    section, _, name = key.rpartition(".")
    match value:
        case bool():
            if switch:
                return [f"--{key}" if value else f"--{section}.no-{name}"]
            return [f"--{key}={str(value).lower()}"]  # one that may be left to the task
        case list():
            return [word for each in value for word in (f"--{key}", str(each))]
        case tuple():
            return [f"--{key}", *map(str, value)]
        case None:
            return [f"--{key}", "none"]
    return [f"--{key}", str(value)]
