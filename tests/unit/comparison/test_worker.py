"""What the process of one run tells of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from elman.comparison import _worker
from elman.tasks import Table


def test_short_and_long_rows_are_told_by_what_the_run_is_judged_by() -> None:
    title = "by length of the source; BLEU|nrefs:1"
    columns = ["tokens", "rows", "bleu", "exact_match"]
    tables = [
        Table("true label, taken for", ["", "a"], [["a", 4]]),
        Table(title, columns, [["1-2", 4, 30.5, 0.25]], by_length=True),
    ]
    kept = {"by_length": [["1-2", 4, 30.5]], "by_length_of": "bleu"}
    result: Any = SimpleNamespace(tables=tables)
    assert _worker.by_length(result) == kept
    tables.pop()
    assert _worker.by_length(result) == {}
