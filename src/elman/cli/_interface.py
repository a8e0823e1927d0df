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
from elman.cli._settings import Leaf, typed


class Given(NamedTuple):
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
        options: Iterable[Leaf],
        settings: Iterable[Leaf],
        aliases: Mapping[str, str],
        words: str = FILES,
    ) -> None:
        leaves = {leaf.key: leaf for leaf in settings}
        short = [
            leaves[key]._replace(key=name, default=None, description=f"short for --{key}")
            for name, key in aliases.items()
        ]
        self.aliases = aliases
        self._app = App(
            name=name, help=line, help_flags=(), version_flags=(), help_format="plaintext"
        )
        self._app.default(
            _signed(words, {"options": options, "short forms": short, "settings": leaves.values()})
        )
        self._arguments = self._app.assemble_argument_collection()
        self._flags = [a.name for a in self._arguments if a.name.startswith("-")]

    def print_help(self) -> None:
        self._app.help_print([])

    def read(self, tokens: Sequence[str]) -> Given:
        """Tell flags, their values and other words apart."""
        given = Given([], {}, [])
        rest = deque(tokens)
        while rest:
            token = rest.popleft()
            if token == "--":
                given.words.extend(rest)
                break
            if token.startswith("-") and token != "-":
                self._read_flag(token, rest, given)
            else:
                given.words.append(token)
        return given

    def _read_flag(self, token: str, rest: deque[str], given: Given) -> None:
        flag, equals, text = token.partition("=")
        found = self._match(flag)
        if found is None:
            given.problems.append(f"unknown option {flag}: {self._suggestion(flag)}")
            if not equals and rest and not rest[0].startswith("-"):
                rest.popleft()  # it looks like the value, so it is not a file
            return
        argument, implied = found
        key = argument.name.removeprefix("--")
        key = self.aliases.get(key, key)
        earlier = given.values.get(key)
        if isinstance(implied, bool) and not equals:
            value: Any = implied
        elif words := [text] if equals else _following(argument, rest):
            value = typed(argument.hint, words, earlier)
        else:
            given.problems.append(f"{flag} needs a value")
            return
        same = isinstance(value, bool) and value is earlier
        if key in given.values and get_origin(argument.hint) is not list and not same:
            given.problems.append(
                f"{flag} was given twice, as {_spelled(earlier)} and as {_spelled(value)}: "
                "it takes one value"
            )
        given.values[key] = value

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
        leaf = flag.lstrip("-")
        found = [name for name in self._flags if name.rpartition(".")[2] == leaf]
        if found:
            return f"did you mean {' or '.join(found)}?"
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


def _signed(words: str, groups: Mapping[str, Iterable[Leaf]]) -> Any:
    """A function that cyclopts takes for one with a keyword argument for each leaf."""
    variadic = inspect.Parameter.VAR_POSITIONAL
    given = Annotated[Path, Parameter(help=words)]
    parameters = [inspect.Parameter("files", variadic, annotation=given)]
    for position, (title, members) in enumerate(groups.items()):
        for leaf in members:
            section = leaf.key.rpartition(".")[0]
            parameters.append(_keyword(leaf, Group(section or title, sort_key=position)))

    def described() -> None: ...

    described.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return described


def _keyword(leaf: Leaf, group: Group) -> inspect.Parameter:
    section, dot, name = leaf.key.rpartition(".")
    silent = leaf.default in (None, [], ()) or (leaf.default is False and not dot)
    setting = Parameter(
        name=f"--{leaf.key}",
        help=leaf.description,
        group=group,
        negative=_negative(leaf, section, name) if leaf.hint is bool else (),
        show_default=not silent,
    )
    return inspect.Parameter(
        leaf.key.replace(".", "__"),
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[leaf.hint, setting],
        default=leaf.default,
    )


def _negative(leaf: Leaf, section: str, name: str) -> str | tuple[()]:
    """How a switch is turned off: a setting or its short form; an option is just left out."""
    if section:
        return f"--{section}.no-{name}"
    return f"--no-{name}" if leaf.default is None else ()
