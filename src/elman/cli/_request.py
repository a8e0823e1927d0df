"""Parsing of commands that take a task and its settings, such as ``elman train TASK ...``."""

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
"""A flag for the first key overrides a file or variable that sets the second one."""

OPTIONS = (
    Setting("config", list[Path], [], "TOML file with settings, as printed by `elman init`"),
    Setting("preset", str | None, None, "name of a set of settings that comes with elman"),
    Setting("json", bool, False, "print one JSON object per line on stdout"),
    Setting("quiet", bool, False, "do not print progress on stderr"),
)


class Request(NamedTuple):
    """A parsed command: the task, its validated configuration, and the command's own options."""

    task: str
    config: Config
    options: dict[str, Any]
    arguments: ParsedLine


def parse_request(
    command: str, line: str, tokens: Sequence[str], options: Iterable[Setting] = ()
) -> Request | None:
    """Parse the words after ``elman COMMAND``; None if they ask for help, which is printed.

    Raises:
        ConfigError: lists all unknown flags, keys and variables, and all bad values.
    """
    from elman.tasks import TASKS
    from elman.training import config_class

    task, *rest = tokens if tokens and not tokens[0].startswith("-") else ("", *tokens)
    if not task and not {"--help", "-h"} & set(rest):
        raise ConfigError(f"expected a task, got none: {nearest('', dict(TASKS))}")
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
    load_cell(tree, files, arguments)
    config = parsed(schema, tree, [*arguments.problems, *problems])
    chosen = {setting.key: arguments.values.get(setting.key, setting.default) for setting in own}
    return Request(task, config, chosen, arguments)


def load_cell(tree: Mapping[str, Any], files: Sequence[Path], arguments: ParsedLine) -> None:
    """Execute the file of the user's own cell, if the settings name one.

    The configuration of a run folder is not the user's word, even as a ``--config``: a stranger
    may have written it.

    Raises:
        ConfigError: from `elman.cells.resolve`.
    """
    from elman.cells import resolve

    model = tree.get("model")
    cell = model.get("cell") if isinstance(model, dict) else None
    if not isinstance(cell, str) or ":" not in cell:
        return
    of_user = cell in (arguments.values.get("model.cell"), os.environ.get("ELMAN_MODEL_CELL"))
    if of_user or not any((file.parent / "checkpoints").exists() for file in files):
        resolve(cell)


def preset_file(name: str) -> Path:
    """The TOML file of a preset.

    Raises:
        ConfigError: there is no such preset.
    """
    folder = Path(str(resources.files("elman.tasks") / "presets"))
    presets = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if name not in presets:
        raise ConfigError(f"unknown preset {name!r}: {nearest(name, presets)}")
    return presets[name]


def parsed(schema: type[Parsed], tree: Mapping[str, Any], problems: Sequence[str]) -> Parsed:
    """The parsed section; a ConfigError lists its problems after the ones passed in."""
    try:
        config = schema.parse(tree)
    except ConfigError as error:
        raise ConfigError("\n".join([*problems, str(error)])) from None
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _is_path(data: Any) -> bool:
    """Whether ``--data`` has a file or folder, where no data set is called so."""
    from elman.data import CATALOG

    named = {dataset.name for dataset in CATALOG}
    return isinstance(data, str) and data not in named and Path(data).exists()


def from_flags(arguments: ParsedLine) -> dict[str, Any]:
    """The settings from the flags; a flag clears the settings that exclude it, see `RIVALS`."""
    values = dict(arguments.values)
    if arguments.words:
        values["data.train"] = arguments.words
    elif _is_path(values.get("data.name")):
        values["data.train"] = [values.pop("data.name")]
    for key, other, empty in RIVALS:
        if values.get(key) and other not in values:
            values[other] = empty
    return values
