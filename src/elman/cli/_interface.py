"""The command line of one task: every setting of its configuration is a flag.

cyclopts builds the flags and their help. The tokens are parsed here, so that all problems are
reported at once instead of only the first.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_origin

from cyclopts import App, Group, Parameter
from cyclopts.argument import Argument

from elman._errors import suggestion
from elman.cli._settings import ANY, Setting, typed


class ParsedLine(NamedTuple):
    """A parsed command line: positional words, values by key, and problems."""

    words: list[str]
    values: dict[str, Any]
    problems: list[str]


FILES = "files or folders (default: the task's default data)"


class Interface:
    """The flags and the help of a command such as "elman train language".

    Args:
        name: the command, as the help shows it.
        line: what it does, in a line or two.
        options: flags of the command itself, with their defaults.
        settings: the settings of the task, with their defaults; each becomes ``--section.key``.
        aliases: short flags and the settings they stand for, ``{"seed": "train.seed"}``.
        words: the help of the positional arguments.
    """

    def __init__(
        self,
        name: str,
        line: str,
        options: Iterable[Setting],
        settings: Iterable[Setting],
        aliases: Mapping[str, str],
        words: str = FILES,
    ) -> None:
        by_key = {setting.key: setting for setting in settings}
        short = [
            by_key[key]._replace(key=name, default=None, description=f"short for --{key}")
            for name, key in aliases.items()
        ]
        self.aliases = aliases
        self._app = App(
            name=name, help=line, help_flags=(), version_flags=(), help_format="plaintext"
        )
        self._app.default(
            _signed(words, {"options": options, "short forms": short, "settings": by_key.values()})
        )
        self._arguments = self._app.assemble_argument_collection()
        self._flags = [a.name for a in self._arguments if a.name.startswith("-")]

    def print_help(self) -> None:
        self._app.help_print([])

    def read(self, tokens: Sequence[str]) -> ParsedLine:
        """Parse the tokens into flags, their values and positional words."""
        line = ParsedLine([], {}, [])
        rest = deque(tokens)
        while rest:
            token = rest.popleft()
            if token == "--":
                line.words.extend(rest)
                break
            if token.startswith("-") and token != "-":
                self._read_flag(token, rest, line)
            else:
                line.words.append(token)
        return line

    def _read_flag(self, token: str, rest: deque[str], line: ParsedLine) -> None:
        flag, equals, text = token.partition("=")
        match = self._match(flag)
        if match is None:
            line.problems.append(f"unknown option {flag}: {self._suggestion(flag)}")
            if not equals and rest and not rest[0].startswith("-"):
                rest.popleft()  # it looks like the value, so it is not a file
            return
        argument, implied = match
        key = argument.name.removeprefix("--")
        key = self.aliases.get(key, key)
        if key.endswith(ANY):
            key = flag.removeprefix("--").replace("-", "_")
        earlier = line.values.get(key)
        if isinstance(implied, bool) and not equals:
            value: Any = implied
        elif words := [text] if equals else _following(argument, rest):
            value = typed(argument.hint, words, earlier)
        else:
            line.problems.append(f"{flag} needs a value")
            return
        same = isinstance(value, bool) and value is earlier
        if key in line.values and get_origin(argument.hint) is not list and not same:
            line.problems.append(
                f"{flag} takes one value, got {_spelled(earlier)} and {_spelled(value)}"
            )
        line.values[key] = value

    def _match(self, flag: str) -> tuple[Argument, Any] | None:
        section, _, name = flag.rpartition(".")
        spellings = [flag, "--" + flag[2:].replace("-", "_")]
        for spelling in (*spellings, *([section + ANY] if name.isidentifier() else [])):
            try:
                argument, _, implied = self._arguments.match(spelling)
            except ValueError:
                continue
            return argument, implied
        return None

    def _suggestion(self, flag: str) -> str:
        """The nearest flag; the last word of a setting, such as --hidden, is enough."""
        last = flag.lstrip("-")
        flags = [name for name in self._flags if name.rpartition(".")[2] == last]
        if flags:
            return f"did you mean {' or '.join(flags)}?"
        return suggestion(flag, self._flags).rstrip("; ") or "--help lists them"


def _spelled(value: Any) -> str:
    """A value as the user typed it."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def _following(argument: Argument, rest: deque[str]) -> list[str]:
    """The values of a flag: none if the next token is another flag."""
    count = max(1, argument.token_count()[0])
    if len(rest) < count or rest[0].startswith("--"):
        return []
    return [rest.popleft() for _ in range(count)]


def _signed(words: str, groups: Mapping[str, Iterable[Setting]]) -> Any:
    """A function whose signature has a keyword argument for each setting, for cyclopts."""
    variadic = inspect.Parameter.VAR_POSITIONAL
    positional = Annotated[Path, Parameter(help=words)]
    parameters = [inspect.Parameter("files", variadic, annotation=positional)]
    for position, (title, members) in enumerate(groups.items()):
        for setting in members:
            section = setting.key.rpartition(".")[0]
            parameters.append(_keyword(setting, Group(section or title, sort_key=position)))

    def described() -> None: ...

    described.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return described


def _keyword(setting: Setting, group: Group) -> inspect.Parameter:
    section, dot, name = setting.key.rpartition(".")
    silent = setting.default in (None, [], ()) or (setting.default is False and not dot)
    flag = Parameter(
        name=f"--{setting.key}",
        help=setting.description,
        group=group,
        negative=_negative(setting, section, name) if setting.hint is bool else (),
        show_default=not silent,
    )
    return inspect.Parameter(
        setting.key.replace(".", "__"),
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[setting.hint, flag],
        default=setting.default,
    )


def _negative(setting: Setting, section: str, name: str) -> str | tuple[()]:
    """The flag that turns a switch off; options of a command have none."""
    if section:
        return f"--{section}.no-{name}"
    return f"--no-{name}" if setting.default is None else ()
