"""Tables of every format, and rows that are broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from elman._errors import DataError
from elman.data import BadRows, BadValue, read_table
from elman.data._table import matching_columns

ROWS = [{"text": 'a "b", c', "label": "1"}, {"text": "täglich\nneu", "label": "0"}]
CSV = 'text,label\n"a ""b"", c",1\n"täglich\nneu",0\n'


def read(path: Path, action: Any = "error", **options: Any) -> tuple[list[Any], list[str]]:
    bad = BadRows(action)
    records = list(read_table(path, ["text", "label"], bad, **options))
    return records, bad.skipped


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl", ".ndjson", ".parquet"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    content = CSV if "csv" in suffix else "\n\n".join(map(json.dumps, ROWS))
    if suffix == ".parquet":
        parquet(path)
    else:
        written(path, gzip.compress(content.encode()) if suffix.endswith("gz") else content)
    records, _ = read(path)
    assert [dict(record.values) for record in records] == ROWS
    first = {".parquet": "row 1", ".jsonl": "line 1", ".ndjson": "line 1"}.get(suffix, "line 2")
    assert records[0].place == f"{path}, {first}"


def test_tsv_is_never_quoted_and_may_have_no_header(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", 'an "odd quote\t1\r\nb\t0\r\n')
    records, _ = read(path, names=["text", "label"])
    assert [r.values["text"] for r in records] == ['an "odd quote', "b"]
    assert records[0].place.endswith("line 1")


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        written(tmp_path / name, f"text,label\n{name},1\n")
    assert [r.values["text"] for r in read(tmp_path)[0]] == ["a.csv", "b.csv"]


def test_a_byte_order_mark_and_another_encoding(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.csv", b"\xef\xbb\xbftext,label\nx,1\n"))[0]
    latin = written(tmp_path / "b.csv", "text,label\ntäglich,1\n".encode("latin-1"))
    assert read(latin, encoding="latin-1")[0][0].values["text"] == "täglich"
    with pytest.raises(DataError, match=r"b.csv, line 2, column 'text': byte 0xe4 is not utf-8"):
        read(latin)


BROKEN = {
    "a.csv": (b"text,label\nx,1\ny\nz,0\n", "line 3: expected 2 fields, got 1"),
    "b.csv": (b"text,label\nx,1\n\xff,1\nz,0\n", "line 3, column 'text': byte 0xff is not utf-8"),
    "c.csv": (b"text,label\nx,1\ny\0,1\nz,0\n", "line 3, column 'text': holds a NUL byte"),
    "d.jsonl": (b'{"text":"x","label":1}\n{"text"\n{"text":"z","label":0}\n', "line 2: not JSON"),
    "e.jsonl": (
        b'{"text":"x","label":1}\n[1]\n{"text":"z","label":0}\n',
        "line 2: expected",
    ),
    "f.jsonl": (b'{"text":"x","label":1}\n{"text":""}\n{"text":"z","label":0}\n', "line 2, column"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_is_named_and_skipped_where_asked(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    path = written(tmp_path / name, content)
    with pytest.raises(DataError, match="--on-bad-row skip") as error:
        read(path)
    assert f"{path}, {message}" in str(error.value)
    records, skipped = read(path, "skip")
    assert [record.values["text"] for record in records] == ["x", "z"]
    assert [line.startswith(f"{path}, {message}") for line in skipped] == [True]


def test_a_quote_that_never_ends_is_said_where_it_began(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,label\nx,1\n"never ends,1\ny,2\n')
    records, skipped = read(path, "skip")
    assert len(records) == 1
    [message] = skipped
    assert message.startswith(f"{path}, line 3: a quote opens here and is not closed, ")
    assert message.endswith("all up to line 4 is one field")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_missing_column_is_an_error_whatever_the_policy(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    parquet(path) if suffix == ".parquet" else written(path, "text,label\nx,1\n")
    with pytest.raises(DataError, match=r"no column 'labels': did you mean 'label'\? .* text, lab"):
        list(read_table(path, ["text", "labels"], BadRows("skip")))


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a table \(.csv, .* got .txt"):
        read(written(tmp_path / "a.txt", "x"))
    with pytest.raises(DataError, match=r"got .txt: rename it if it is one$"):
        read(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"got .wav: convert it to one of these$"):
        read(written(tmp_path / "a.wav", "RIFF"))
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "missing.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read(written(tmp_path / "a.parquet", "x"))
    with pytest.raises(DataError, match="cannot be read"):
        read(written(tmp_path / "a.csv.gz", "x"))


def test_parquet_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.data._parquet.find_spec", lambda _: None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        read(parquet(tmp_path / "a.parquet"))


def test_a_field_may_be_longer_than_a_chapter(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", f"text,label\n{'word ' * 50_000},1\n")
    assert len(read(path)[0][0].values["text"]) == 250_000


def test_patterns() -> None:
    assert matching_columns("x*", ["x1", "y", "x10"]) == ["x1", "x10"]
    assert matching_columns("x.1", ["x.1", "xa1"]) == ["x.1"]


def test_a_bad_value_of_ones_own() -> None:
    bad = BadRows()
    with (
        pytest.raises(DataError, match=r"a.csv, line 3, column 'y': is empty; fix"),
        bad.place("a.csv, line 3"),
    ):
        raise BadValue("y", "is empty")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_that_is_nested_too_deep_is_a_bad_row(tmp_path: Path, opening: str) -> None:
    """A row 100,000 deep was a RecursionError; 500 deep, one where it was printed."""
    rows = [f'{{"text": {opening * n}, "label": 1}}' for n in (100_000, 500)]
    closed = ['{"text": ' + "[" * n + "]" * n + ', "label": 1}' for n in (500, 65, 60)]
    path = written(tmp_path / "a.jsonl", "\n".join([*rows, *closed]))
    records, skipped = read(path, "skip")
    assert [record.place for record in records] == [f"{path}, line 5"]
    assert "line 1: expected lists or objects at most 64 deep, got deeper" in skipped[0]
    assert len(skipped) == 4


def test_an_open_quote_in_the_header_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "captions.csv", '"text,label\na,1\nb,0\n')
    with pytest.raises(DataError, match=r"captions.csv, line 1: a quote opens here .* header"):
        read(path)
    path = written(tmp_path / "captions.csv", '"text"x,label\na,1\n')
    with pytest.raises(DataError, match=r"captions.csv, line 1: not well-formed: .* header"):
        read(path)


def test_damaged_parquet_is_an_error_of_the_data(tmp_path: Path) -> None:
    whole = parquet(tmp_path / "a.parquet").read_bytes()
    for content in (whole[:-9], whole[:60], whole[:4] + bytes(60) + whole[64:]):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.parquet: cannot be read: .*write it again"):
            read(tmp_path / "a.parquet")
