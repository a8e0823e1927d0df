"""Cells against cells on one task: equal in size and budget, over several seeds.

`compare` trains, `resume` goes on with what was interrupted, `load` reads what there is. The
comparison's folder holds

==========================  ===================================================================
comparison.toml             what was asked, and each candidate's resolved settings and parameters
runs/NAME-SEED/             the run folders, as `elman.training.Run` describes them
outcomes/NAME-SEED.json     what came of a run that has ended, see `Outcome`
outcomes/NAME-SEED.log      what a process said on stderr, where it said something
table.json, table.md        the `Comparison`
pictures/                   validation, final, and by_length where rows differ in length
==========================  ===================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.comparison._design import Design
    from elman.comparison._entry import compare, load, resume
    from elman.comparison._result import Candidate, Comparison, Outcome, Spread
    from elman.comparison._table import markdown, rows
    from elman.comparison._verdict import PairwiseTest, Verdict

__all__ = [
    "Candidate",
    "Comparison",
    "Design",
    "Outcome",
    "PairwiseTest",
    "Spread",
    "Verdict",
    "compare",
    "load",
    "markdown",
    "resume",
    "rows",
]

_HOMES = {
    "_entry": ("compare", "load", "resume"),
    "_design": ("Design",),
    "_result": ("Candidate", "Comparison", "Outcome", "Spread"),
    "_table": ("markdown", "rows"),
    "_verdict": ("PairwiseTest", "Verdict"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
