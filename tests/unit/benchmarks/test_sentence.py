"""Counts of the words that complete the demo's sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.sentence import counts, main


def test_words_after_for_a() -> None:
    row = counts("For a while, she took\nhis old dog for a walk. Take it for a ride for a WHILE.")
    assert (row["words"], row["after"], row["likeliest"][0]) == (19, 4, "while")
    assert row["completions"] == dict.fromkeys(["drive", "trip", "visit", "nap"], 0) | {
        "walk": 1,
        "ride": 1,
    }
    assert row["rank"] == 2  # only "while" comes more often; "ride" does as often
    assert (row["after_take"], row["after_take_total"]) == ({"walk": 1, "ride": 1}, 2)


def test_without_a_walk_there_is_no_rank() -> None:
    row = counts("they took all that was there and then some for a walker")
    assert (row["rank"], row["after"], row["after_take_total"]) == (None, 1, 0)


def test_a_file_has_a_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("go for a walk")
    main(["talk, short=text.txt", "--json", "kept.json"])
    kept = json.loads(Path("kept.json").read_text())
    assert kept["command"] == "python -m benchmarks.sentence 'talk, short=text.txt'"
    assert kept["texts"] == {"talk, short": counts("go for a walk")}
    assert "commit" in kept["environment"]
