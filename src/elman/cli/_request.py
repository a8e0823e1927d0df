"""What ``elman train TASK ...`` and its like were asked to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from elman._errors import ConfigError, nearest
from elman.cli._interface import Interface, ParsedLine
from elman.cli._settings import Setting, merged, settings_of

if TYPE_CHECKING:
    from elman.tasks import Section
    from elman.training import Config

    Parsed = TypeVar("Parsed", bound=Section)

ALIASES = {
    "cell": "model.cell",
    "layers": "model.layers",
    "hidden": "model.hidden",
    "dropout": "model.dropout",
    "epochs": "train.epochs",
    "steps": "train.max_steps",
    "lr": "train.lr",
    "batch": "data.batch",
    "lanes": "data.lanes",
    "seed": "train.seed",
    "threads": "train.threads",
    "device": "train.device",
    "watch": "train.watch",
    "baselines": "train.baselines",
    "data": "data.name",
    "valid": "data.valid",
    "test": "data.test",
    "on_bad_row": "data.on_bad_row",
}
RIVALS: tuple[tuple[str, str, Any], ...] = (
    ("data.train", "data.name", None),
    ("data.name", "data.train", []),
    ("train.epochs", "train.max_steps", None),
    ("train.max_steps", "train.epochs", None),
)
"""Given the first as a flag, the second no longer counts, whichever file or variable set it."""

OPTIONS = (
    Setting("config", list[Path], [], "a TOML file of settings, as `elman init` prints it"),
    Setting("preset", str | None, None, "settings that come with elman, by name"),
    Setting("json", bool, False, "one JSON object a line on stdout"),
    Setting("quiet", bool, False, "no progress on stderr"),
)


class Request(NamedTuple):
    """The task's name, its validated configuration, and the options that are no settings."""

    task: str
    config: Config
    options: dict[str, Any]
    arguments: ParsedLine


def parse_request(
    command: str, line: str, tokens: Sequence[str], options: Iterable[Setting] = ()
) -> Request | None:
    """Read the words after ``elman COMMAND``; None where help was asked for, and printed.

    Raises:
        ConfigError: with every unknown flag, key and variable, and every bad value.
    """
    from elman.tasks import TASKS
    from elman.training import config_class

    task, *rest = tokens if tokens and not tokens[0].startswith("-") else ("", *tokens)
    if not task and not {"--help", "-h"} & set(rest):
        raise ConfigError(f"which task? {nearest('', dict(TASKS))}")
    schema = config_class(task or TASKS[0][0])
    default = schema.parse({})
    own, settings = (*options, *OPTIONS), [*settings_of(default)]
    aliases = {short: key for short, key in ALIASES.items() if key in {s.key for s in settings}}
    interface = Interface(f"elman {command} {task or 'TASK'}", line, own, settings, aliases)
    if {"--help", "-h"} & set(rest):
        interface.print_help()
        return None
    arguments = interface.read(rest)
    files = [preset_file(arguments.values["preset"])] if arguments.values.get("preset") else []
    files += map(Path, arguments.values.get("config", []))
    tree, problems = merged(default, files, from_flags(arguments), os.environ)
    config = parsed(schema, tree, [*arguments.problems, *problems])
    chosen = {setting.key: arguments.values.get(setting.key, setting.default) for setting in own}
    return Request(task, config, chosen, arguments)


def preset_file(name: str) -> Path:
    """The TOML file of a preset.

    Raises:
        ConfigError: there is none of this name.
    """
    folder = Path(str(resources.files("elman.tasks") / "presets"))
    presets = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if name not in presets:
        raise ConfigError(f"unknown preset {name!r}: {nearest(name, presets)}")
    return presets[name]


def parsed(schema: type[Parsed], tree: Mapping[str, Any], problems: Sequence[str]) -> Parsed:
    """The section; a ConfigError adds what is wrong with its values to the problems."""
    try:
        config = schema.parse(tree)
    except ConfigError as error:
        raise ConfigError("\n".join([*problems, str(error)])) from None
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def from_flags(arguments: ParsedLine) -> dict[str, Any]:
    """The settings from the flags; one of two that exclude each other clears the one below it."""
    values = dict(arguments.values)
    if arguments.words:
        values["data.train"] = arguments.words
    for key, other, empty in RIVALS:
        if values.get(key) and other not in values:
            values[other] = empty
    return values
