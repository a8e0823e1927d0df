"""Texts that a spreadsheet would run: written so that it does not, and read as they were."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.cli._output import write_csv
from elman.data import BadRows, guarded, read_table, unguarded

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(1)", "--"]
PLAIN = ["", "good", "-1.5", "+3", "1e-5", "-1 2.5 -3e+4", ".5", "'tis", "'", "a=b", "3-4", "''"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert guarded(text) == "'" + text
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_numbers_and_other_texts_stay_as_they_are(text: str) -> None:
    assert guarded(text) == text
    assert unguarded(text) == text


@given(st.text(st.sampled_from("'=+-@\t\r1.5 ab"), max_size=8))
def test_what_is_written_never_begins_a_formula_and_comes_back(text: str) -> None:
    written = guarded(text)
    assert unguarded(written) == text
    if written[:1] in tuple("=+-@\t\r"):
        [float(part) for part in written.split(" ")]  # only a number may


def written(records: list[dict[str, Any]], **options: Any) -> str:
    file = io.StringIO()
    write_csv(records, file, **options)
    return file.getvalue()


RECORD = {
    "=HYPERLINK(1)": "=1+1",
    "text": "'=2",
    "plain": "'quoted'",
    "number": -1.5,
    "steps": [-1.0, 2.5],
    "label": {"@a": -0.25, "b": "@b"},
}


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(written([RECORD]))
    header, row = csv.reader(file.read_text().splitlines())
    assert header == ["'=HYPERLINK(1)", "text", "plain", "number", "steps", "label.@a", "label.b"]
    assert row == ["'=1+1", "''=2", "'quoted'", "-1.5", "-1.0 2.5", "-0.25", "'@b"]
    [record] = read_table(file, ["=HYPERLINK(1)", "text"], BadRows())
    assert record.values == {
        "=HYPERLINK(1)": "=1+1",
        "text": "'=2",
        "plain": "'quoted'",
        "number": "-1.5",
        "steps": "-1.0 2.5",
        "label.@a": "-0.25",
        "label.b": "@b",
    }


def test_raw_is_written_as_it_is() -> None:
    assert written([RECORD], raw=True).splitlines() == [
        "=HYPERLINK(1),text,plain,number,steps,label.@a,label.b",
        "=1+1,'=2,'quoted',-1.5,-1.0 2.5,-0.25,@b",
    ]


def test_other_formats_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\n'=1\n")
    (tmp_path / "a.jsonl").write_text('{"text": "\'=1"}\n')
    for name in ("a.tsv", "a.jsonl"):
        [record] = read_table(tmp_path / name, ["text"], BadRows())
        assert record.values == {"text": "'=1"}
