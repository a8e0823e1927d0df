"""Rows to look inside with: of every kind of task, by data and by text."""

from __future__ import annotations

from pathlib import Path

import pytest

from elman._errors import ConfigError
from elman.tasks import Classify, ClassifyData, ClassifyNet, Tag, TagData, TagNet, by_name, sections


def test_a_classifier_names_the_words_it_reads(tmp_path: Path) -> None:
    file = tmp_path / "films.csv"
    file.write_text(
        "text,label\n" + "".join(f"film {i} was good,{'ab'[i % 2]}\n" for i in range(40))
    )
    data = ClassifyData.parse({"train": [file], "max_length": 3, "keep": "tail"})
    task = Classify.prepare(data, ClassifyNet(hidden=4))
    task.network = task.build()
    shown = task.excerpt(2, "film 1 was good")
    assert list(shown.words)[-2:] == ["was", "good"]
    assert (len(shown.words), shown.batch.rows) == (3, 1)
    task.loss(shown.batch, 0, 1, None)
    assert task.excerpt(2).batch.rows == 2


def test_a_tagger_names_every_word(tmp_path: Path) -> None:
    file = tmp_path / "small.tsv"
    file.write_text("the\tDET\ncat\tNOUN\n\n" * 20)
    task = Tag.prepare(TagData(train=[file], unique=False), TagNet(hidden=4))
    task.network = task.build()
    shown = task.excerpt(1, "the zebra")
    assert shown.words == ["the", "zebra"]
    task.loss(shown.batch, 0, 1, None)
    assert task.excerpt(1).words == ["the", "cat"]


def test_numbers_have_no_names_and_read_no_text() -> None:
    kinds = sections("regress")
    task = by_name("regress").prepare(
        kinds.data.parse({"rows": 40, "steps": 5}), kinds.model.parse({})
    )
    task.network = task.build()
    assert task.excerpt(3).words == []
    with pytest.raises(ConfigError, match="no texts"):
        task.excerpt(3, "a text")
