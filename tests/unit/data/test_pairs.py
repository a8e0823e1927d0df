"""Pairs of texts from parallel files, and from packages."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from elman._errors import DataError
from elman.data import BadRows, read_parallel, records
from elman.data._pairs import LANGUAGES, emoji_names, pronunciations


def test_parallel_files_line_by_line_packed_or_not(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a.de", tmp_path / "a.en.gz"
    ours.write_bytes("\ufeffein Hund\r\n\r\nzwei".encode())
    theirs.write_bytes(gzip.compress(b"a dog\n\ntwo\n"))
    found = list(read_parallel(ours, theirs, ("de", "en")))
    assert [record.place for record in found] == [f"{ours}, line {i}" for i in (1, 2, 3)]
    pairs = [tuple(record.values.values()) for record in found]
    assert pairs == [("ein Hund", "a dog"), ("", ""), ("zwei", "two")]


def test_a_line_in_another_encoding_is_bad(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a.de", tmp_path / "a.en"
    ours.write_bytes(b"eins\nzw\xf6lf\ndrei\n")
    theirs.write_bytes(b"one\ntwelve\nthree\n")
    bad = BadRows("skip")
    found = list(read_parallel(ours, theirs, ("de", "en"), bad))
    assert [record.values["en"] for record in found] == ["one", "three"]
    assert "line 2, column 'de': byte 0xf6 is not utf-8" in bad.skipped[0]
    with pytest.raises(DataError, match="line 2, column 'de'"):
        list(read_parallel(ours, theirs, ("de", "en")))


def test_a_spelling_comes_once_with_all_its_pronunciations(tmp_path: Path) -> None:
    file = tmp_path / "dict"
    file.write_text("read R EH1 D\nread(2) R IY1 D # now\nred R EH1 D\n'm AH0 M\n")
    assert list(pronunciations(file)) == [
        {"source": "read", "target": ["R EH1 D", "R IY1 D"]},
        {"source": "red", "target": ["R EH1 D"]},
        {"source": "'m", "target": ["AH0 M"]},
    ]


def test_the_dictionary_is_all_there() -> None:
    found = [record.values for record in records("cmudict", "translate")]
    words = [row["source"] for row in found]
    assert (len(words), len(set(words))) == (126_052, 126_052)
    assert sum(len(row["target"]) for row in found) == 135_166
    assert found[words.index("tomato")]["target"] == ["T AH0 M EY1 T OW2", "T AH0 M AA1 T OW2"]


def test_names_of_emoji_in_full_only(tmp_path: Path) -> None:
    (tmp_path / "emoji.json").write_text(
        json.dumps({"a": {"en": ":red_heart:", "status": 2}, "b": {"en": ":x:", "status": 4}})
    )
    for language in LANGUAGES:
        (tmp_path / f"emoji_{language}.json").write_text('{"a": ":rotes_herz:", "b": ":x:"}')
    [row] = emoji_names(tmp_path / "emoji.json")
    assert (row["en"], row["de"], len(row)) == ("red heart", "rotes herz", 14)


def test_emoji_have_names_in_all_languages() -> None:
    found = [record.values for record in records("emoji", "translate")]
    assert len(found) == 3_963
    assert all(text for row in found for text in row.values())
