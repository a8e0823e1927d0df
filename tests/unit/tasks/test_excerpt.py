"""Rows to look inside with: of every kind of task, by data and by text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from elman._errors import ConfigError
from elman.tasks import (
    Caption,
    CaptionData,
    CaptionNet,
    Classify,
    ClassifyData,
    ClassifyNet,
    Tag,
    TagData,
    TagNet,
    Translate,
    TranslateData,
    TranslateNet,
    by_name,
    sections,
)


def test_a_classifier_names_the_words_it_reads(tmp_path: Path) -> None:
    file = tmp_path / "films.csv"
    file.write_text(
        "text,label\n" + "".join(f"film {i} was good,{'ab'[i % 2]}\n" for i in range(40))
    )
    data = ClassifyData.parse({"train": [file], "max_length": 3, "keep": "tail"})
    task = Classify.prepare(data, ClassifyNet(hidden=4))
    task.network = task.build()
    shown = task.excerpt(2, "film 1 was good")
    (words,) = shown.first.values()
    assert words[-2:] == ["was", "good"]
    assert (len(words), shown.batch.rows) == (3, 1)
    task.loss(shown.batch, 0, 1, None)
    assert task.excerpt(2).batch.rows == 2


def test_a_tagger_names_every_word(tmp_path: Path) -> None:
    file = tmp_path / "small.tsv"
    file.write_text("the\tDET\ncat\tNOUN\n\n" * 20)
    task = Tag.prepare(TagData(train=[file], unique=False), TagNet(hidden=4))
    task.network = task.build()
    shown = task.excerpt(1, "the zebra")
    assert shown.first == {"recurrent": ["the", "zebra"]}
    task.loss(shown.batch, 0, 1, None)
    assert task.excerpt(1).first == {"recurrent": ["the", "cat"]}


def test_both_sides_of_a_translation_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    rows = "".join(f"one {i}\teins {i}\n" for i in range(40))
    file.write_text("source\ttarget\n" + rows, encoding="utf-8")
    task = Translate.prepare(TranslateData(train=[file]), TranslateNet(hidden=4))
    task.network = task.build()
    shown = task.excerpt(1, "one 3")
    assert shown.first["encoder"] == ["one", "3", "<eos>"]
    said = task.answers([{"source": "one 3"}])[0]["translation"]
    assert shown.first["decoder"][0] == "<eos>"
    assert "".join(shown.first["decoder"][1:]) == said.replace(" ", "")
    task.loss(shown.batch, 0, 1, None)
    of_rows = task.excerpt(2).words
    assert [of["decoder"][2] for of in of_rows] == [of["encoder"][1] for of in of_rows]
    assert of_rows[0] != of_rows[1]
    known = task.excerpt(1).first
    assert known["decoder"][:2] == ["<eos>", "eins"]
    assert known["decoder"][2] == known["encoder"][1]


def test_a_caption_is_named_from_the_end_before_it() -> None:
    task = Caption.prepare(
        CaptionData(name="scenes", rows=30, steps=1), CaptionNet(channels=[4, 4], hidden=4)
    )
    task.network = task.build()
    shown = task.excerpt(1)
    first = bytes(task.part("valid").take(torch.tensor([0]))["references"][0].tolist()).decode()
    assert shown.first == {"decoder": ["<eos>", *first.splitlines()[0].split()]}
    with pytest.raises(ConfigError, match="reads no texts"):
        task.excerpt(1, "a red ball")


def test_numbers_have_no_names_and_read_no_text() -> None:
    kinds = sections("regress")
    task = by_name("regress").prepare(
        kinds.data.parse({"rows": 40, "steps": 5}), kinds.model.parse({})
    )
    task.network = task.build()
    assert not task.excerpt(3).words
    with pytest.raises(ConfigError, match="no texts"):
        task.excerpt(3, "a text")
