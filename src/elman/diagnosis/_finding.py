"""What the doctor says: findings and remedies, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Remedy(NamedTuple):
    """One change to a run's configuration that is expected to help.

    Attributes:
        what: the change in words.
        changes: dotted keys of the configuration and their new values; None leaves a key out. Empty
            where the remedy is in the data or in code, which no setting changes.
        reference: the paper that proposes or measures it; empty for mending data.
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
        """The options that have to be left out with it."""
        return tuple(f"--{key}" for key, value in self.changes.items() if value is None)


class Finding(NamedTuple):
    """Something that is wrong with a run.

    Attributes:
        code: stable, for programs: ``E-EXPLODE`` ...; `CODES` lists them.
        problem: what is wrong.
        figure: the measured figure that shows it, in words.
        value: the figure.
        limit: the bound that it passed.
        remedies: in the order of the effect that is expected.
    """

    code: str
    problem: str
    figure: str
    value: float
    limit: float
    remedies: tuple[Remedy, ...] = ()


def _option(key: str, value: Any) -> str:
    if isinstance(value, bool):  # a word after a switch would be taken for a file
        return f"--{key}={str(value).lower()}"
    return f"--{key} {f'{value:.3g}' if isinstance(value, float) else value}"
