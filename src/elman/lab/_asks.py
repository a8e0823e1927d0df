"""All that a page can ask: the asks of lessons, sandbox, run view and typed code, by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from elman.lab._lesson import LESSONS, Ask, lesson

TYPED = "own_cell."
"""How the names of asks with typed code begin."""


class Place(NamedTuple):
    """Where the lab runs.

    Attributes:
        directory: the folder of runs.
        runs: further run folders.
        cell: the user's own cell, FILE.py:Class, which is executed; "" for none.
        code: whether code may be typed into the page.
    """

    directory: Path = Path("runs")
    runs: tuple[Path, ...] = ()
    cell: str = ""
    code: bool = True

    def json(self) -> str:
        """This place, for another process."""
        runs = [str(run) for run in self.runs]
        return json.dumps([str(self.directory), runs, self.cell, self.code])

    @classmethod
    def of_json(cls, text: str) -> Place:
        """The place that `json` wrote."""
        directory, runs, cell, code = json.loads(text)
        return cls(Path(directory), tuple(map(Path, runs)), cell, code)


def asks_of(place: Place) -> dict[str, Ask]:
    """The asks of a lab, by name; torch is not imported."""
    from elman.lab import _own_cell, _run, _sandbox

    asks = [ask for slug, _ in LESSONS for ask in lesson(slug).asks]
    asks += [*_sandbox.asks(place), *_run.asks(place)]
    if place.code:
        asks += _own_cell.asks(place)
    return {ask.name: ask for ask in asks}
