"""What the process of one run tells of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from elman.comparison import _worker
from elman.tasks import Table


def test_short_and_long_rows_are_told_by_what_the_run_is_judged_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    title = "by length of the source; BLEU|nrefs:1"
    tables = [
        Table("true label, taken for", ["", "a"], [["a", 4]]),
        Table(title, ["tokens", "rows", "bleu", "exact_match"], [["1-2", 4, 30.5, 0.25]]),
    ]
    monkeypatch.setattr(_worker, "load", lambda _: SimpleNamespace(tables=lambda _: tables))
    result: Any = SimpleNamespace(metrics={"test": {}}, run=SimpleNamespace(path=Path()))
    told = {"by_length": [["1-2", 4, 30.5]], "by_length_of": "bleu"}
    assert _worker.by_length(result) == told
    tables.pop()
    assert _worker.by_length(result) == {}
