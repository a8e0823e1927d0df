"""Programs that read a file apart: what becomes of one that refuses, crashes or is left early."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from elman._errors import DataError
from elman.data import BadRows, read_table
from elman.data._apart import UNREADABLE, _reason, apart


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (UNREADABLE, "it is damaged"),
        (-signal.SIGSEGV, "its reader crashed on it (SIGSEGV)"),
        (-signal.SIGABRT, "its reader crashed on it (SIGABRT)"),
        (-signal.SIGXCPU, "it takes too long"),
    ],
)
def test_why_a_program_ended(status: int, reason: str) -> None:
    assert _reason(status, "a warning\nit is damaged\n") == reason


def test_a_defect_of_the_program_is_no_error_of_the_data() -> None:
    with pytest.raises(RuntimeError, match="ended with 1\nTraceback\nKeyError"):
        _reason(1, "Traceback\nKeyError\n")


def test_a_program_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no")
    with (
        pytest.raises(DataError, match=r"a\.parquet: cannot be read: .*: check or write it again"),
        apart(tmp_path / "a.parquet", "_arrow", 1 << 29, 1, 1, 1) as stream,
    ):
        assert stream.read() == b""


def children() -> set[str]:
    """The processes that this one started, of other tests too."""
    return {
        child
        for file in Path("/proc/self/task").glob("*/children")
        for child in file.read_text().split()
    }


def test_a_program_ends_with_who_asked(tmp_path: Path) -> None:
    """Of many rows only the first is read."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.table({"text": [f"{i}" * 99 for i in range(300_000)]}), tmp_path / "a.parquet")
    before = children()
    rows = read_table(tmp_path / "a.parquet", ["text"], BadRows())
    assert next(rows).values == {"text": "0" * 99}
    assert children() > before
    rows.close()  # type: ignore[attr-defined]
    assert children() == before
