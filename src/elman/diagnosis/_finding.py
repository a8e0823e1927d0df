"""Findings and remedies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Remedy(NamedTuple):
    """A change of a run's configuration that is expected to help.

    Attributes:
        what: the change in words.
        changes: dotted keys of the configuration and their new values; None removes a key. Empty if
            the remedy is a change of data or code.
        reference: the paper that proposes or measures it; may be empty.
    """

    what: str
    changes: Mapping[str, Any]
    reference: str

    @property
    def flags(self) -> str:
        """The change as options of ``elman train``.

        >>> Remedy("clip", {"train.clip_limit": 0.8}, "").flags
        '--train.clip_limit 0.8'
        """
        return " ".join(_option(k, v) for k, v in self.changes.items() if v is not None)

    @property
    def without(self) -> tuple[str, ...]:
        """The options to leave out."""
        return tuple(f"--{key}" for key, value in self.changes.items() if value is None)


class Finding(NamedTuple):
    """A problem of a run.

    Attributes:
        code: a stable code such as ``E-EXPLODE``; `CODES` lists all.
        problem: the problem in words.
        figure: the measurement that shows it, in words.
        value: the measured value.
        limit: the bound that it exceeds.
        remedies: the most promising one first.
    """

    code: str
    problem: str
    figure: str
    value: float
    limit: float
    remedies: tuple[Remedy, ...] = ()


def _option(key: str, value: Any) -> str:
    if isinstance(value, bool):  # a word after a switch would be parsed as a file
        return f"--{key}={str(value).lower()}"
    return f"--{key} {f'{value:.3g}' if isinstance(value, float) else value}"
