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

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.comparison._design import Design as Design
    from elman.comparison._entry import compare as compare, load as load, resume as resume
    from elman.comparison._result import (
        Candidate as Candidate,
        Comparison as Comparison,
        Outcome as Outcome,
        Spread as Spread,
    )
    from elman.comparison._table import (
        baseline_rows as baseline_rows,
        markdown as markdown,
        rows as rows,
    )
    from elman.comparison._verdict import PairwiseTest as PairwiseTest, Verdict as Verdict

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_design": "Design",
        "_entry": "compare load resume",
        "_result": "Candidate Comparison Outcome Spread",
        "_table": "baseline_rows markdown rows",
        "_verdict": "PairwiseTest Verdict",
    },
)
