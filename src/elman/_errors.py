"""The error tree: every message says what was expected, what came, and what to do.

Each class also subclasses the built-in error that torch or Python raises in the same place, so that
code written against them keeps working. ``exit_code`` is what the command line exits with.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ElmanError(Exception):
    """The root of every error that elman raises on purpose."""

    exit_code = 1


class ConfigError(ElmanError, ValueError):
    """An argument or a configuration key has a value it cannot have."""

    exit_code = 2


class ShapeError(ElmanError, RuntimeError):
    """A tensor does not have the shape that was expected (torch raises RuntimeError there)."""


class DtypeError(ElmanError, TypeError, RuntimeError):
    """An argument has a type, or a tensor a dtype, that it cannot have.

    torch raises TypeError for the one and RuntimeError for the other.
    """


class DataError(ElmanError, ValueError):
    """A data file cannot be used; the message names the file and, where there is one, the line."""

    exit_code = 3


class CheckpointError(ElmanError, ValueError):
    """A run folder or checkpoint cannot be read, or does not fit the model."""

    exit_code = 3


class Diverged(ElmanError, RuntimeError):
    """The loss or a gradient stopped being finite; the message names the step."""

    exit_code = 4


class Interrupted(ElmanError, KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM, after the current update was saved."""

    exit_code = 130


class EngineError(ElmanError, RuntimeError):
    """An engine that was asked for by name cannot run; the message gives the reason."""


LISTED = 100
"""So many choices are listed in a message."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown name: the likeliest choice, then all of them.

    >>> nearest("ltsm", ["lstm", "gru"])
    "did you mean 'lstm'? choose from: lstm, gru"
    """
    known = [choice if len(choice) <= LISTED else f"{choice[:LISTED]}..." for choice in choices]
    guess = get_close_matches(name, known, n=1)
    hint = f"did you mean {guess[0]!r}? " if guess else ""
    more = f" and {len(known) - LISTED:,} more" if len(known) > LISTED else ""
    return f"{hint}choose from: {', '.join(known[:LISTED])}{more}"
