"""``elman init``: a TOML file with every setting of a task, its default and its meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from elman.cli._output import table
from elman.cli._settings import ANY, Setting, settings_of

if TYPE_CHECKING:
    from elman.training import Config


def init(task: str | None = None, /, *, preset: str | None = None) -> None:
    """Print a commented configuration file for a task, for ``elman train TASK --config FILE``.

    Parameters
    ----------
    task
        Name of the task, such as language. Without it, list the tasks.
    preset
        Preset to start from instead of the defaults.
    """
    from elman.cli._request import preset_file
    from elman.cli._settings import read_toml
    from elman.training import config_class

    if task is None:
        print(table([["task", "default data"], *_tasks()]))
        return
    config = config_class(task).parse(read_toml(preset_file(preset)) if preset else {})
    print("\n".join(commented(config)))


def _tasks() -> Iterator[list[str]]:
    from elman.tasks import TASKS
    from elman.training import config_class

    for name, _ in TASKS:
        yield [name, getattr(config_class(name).parse({}).data, "name", None) or ""]


def commented(config: Config) -> Iterator[str]:
    """The lines of a TOML file that describes this configuration."""
    import tomli_w

    values = config.toml()
    yield f"# elman train {config.task} FILES --config THIS_FILE"
    yield "# Missing keys have their defaults; flags such as --model.hidden 256 override this file."
    yield tomli_w.dumps({key: values[key] for key in ("task", "format")}).rstrip()
    for section, members in groupby(
        settings_of(config), lambda setting: setting.key.partition(".")[0]
    ):
        yield f"\n[{section}]  # {type(config).model_fields[section].description}"
        for setting in members:
            name = setting.key.partition(".")[2]
            yield f"# {setting.description}{_choices(setting)}"
            yield from _assignments(name, values[section])


def _choices(setting: Setting) -> str:
    hint = setting.hint
    return f" ({', '.join(map(str, get_args(hint)))})" if get_origin(hint) is Literal else ""


def _assignments(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    """The line of a setting; one for each name where it has several, as `options.slope = 0.1`."""
    import tomli_w

    section, several, _ = name.partition(ANY)
    own = values.get(section)
    if several and own:
        yield from (f"{section}.{tomli_w.dumps({k: v}).rstrip()}" for k, v in own.items())
    else:
        yield f"# {name} =" if own is None else tomli_w.dumps({name: own}).rstrip()
