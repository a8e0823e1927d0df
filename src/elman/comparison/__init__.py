"""Comparison of cells on one task, at equal size and budget, over several seeds.

`compare` trains, `resume` continues an interrupted comparison, `load` reads the results so far.
The folder of a comparison holds

==========================  ===================================================================
comparison.toml             the design, and each candidate's resolved settings and parameters
runs/NAME-SEED/             the run folders, as `elman.training.Run` describes them
outcomes/NAME-SEED.json     the outcome of a run that has ended, see `Outcome`
outcomes/NAME-SEED.log      the stderr of a process, if it wrote any
table.json, table.md        the `Comparison`
pictures/                   validation, final, and by_length if rows differ in length
==========================  ===================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.comparison._design import Design
    from elman.comparison._entry import compare, load, resume
    from elman.comparison._result import Candidate, Comparison, Outcome, Spread
    from elman.comparison._table import baseline_rows, markdown, rows
    from elman.comparison._verdict import PairwiseTest, Verdict

__all__ = [
    "Candidate",
    "Comparison",
    "Design",
    "Outcome",
    "PairwiseTest",
    "Spread",
    "Verdict",
    "baseline_rows",
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
    "_table": ("baseline_rows", "markdown", "rows"),
    "_verdict": ("PairwiseTest", "Verdict"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
