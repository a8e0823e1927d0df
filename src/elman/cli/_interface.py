"""The command line of one task: every setting of its configuration as a flag.

cyclopts makes the flags and their help; the tokens are read here, because one bad flag must not
hide the next: all problems are reported at once.
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
from elman.cli._settings import Setting, typed


class ParsedLine(NamedTuple):
    """What the tokens said: positional words, key to value, and what was wrong with the rest."""

    words: list[str]
    values: dict[str, Any]
    problems: list[str]


FILES = "files or folders; without any, the task's default data"


class Interface:
    """Flags and help of ``name`` (as in "elman train language").

    Args:
        name: the command, as help shows it.
        line: what it does, in a line or two.
        options: flags of the command itself, with their defaults.
        settings: the task's settings, with their defaults; each gives ``--section.key``.
        aliases: short flag to the setting it stands for, ``{"seed": "train.seed"}``.
        words: what stands there without a flag.
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
        """Tell flags, their values and other words apart."""
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
                f"{flag} was given twice, as {_spelled(earlier)} and as {_spelled(value)}: "
                "it takes one value"
            )
        line.values[key] = value

    def _match(self, flag: str) -> tuple[Argument, Any] | None:
        for spelling in (flag, "--" + flag[2:].replace("-", "_")):
            try:
                argument, _, implied = self._arguments.match(spelling)
            except ValueError:
                continue
            return argument, implied
        return None

    def _suggestion(self, flag: str) -> str:
        """The nearest flag; a setting is also found by its last word alone, as --hidden."""
        last = flag.lstrip("-")
        flags = [name for name in self._flags if name.rpartition(".")[2] == last]
        if flags:
            return f"did you mean {' or '.join(flags)}?"
        return suggestion(flag, self._flags).rstrip("; ") or "--help lists all"


def _spelled(value: Any) -> str:
    """A value as it was typed."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def _following(argument: Argument, rest: deque[str]) -> list[str]:
    """The tokens that a flag takes: none if the next is another flag."""
    count = max(1, argument.token_count()[0])
    if len(rest) < count or rest[0].startswith("--"):
        return []
    return [rest.popleft() for _ in range(count)]


def _signed(words: str, groups: Mapping[str, Iterable[Setting]]) -> Any:
    """A function that cyclopts takes for one with a keyword argument for each leaf."""
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
    """How a switch is turned off: a setting or its short form; an option is just left out."""
    if section:
        return f"--{section}.no-{name}"
    return f"--no-{name}" if setting.default is None else ()
