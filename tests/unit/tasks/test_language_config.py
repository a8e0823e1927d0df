from __future__ import annotations

from pathlib import Path

import pytest

from elman._errors import ConfigError
from elman.tasks import LanguageData, LanguageNet
from elman.tasks._language_config import EMBEDDED, EMBEDDED_LINES


def test_without_files_the_default_data_set_is_read() -> None:
    assert LanguageData.parse({}).name == "movie-reviews"
    assert LanguageData.parse({"name": "kjv"}).name == "kjv"


def test_files_replace_the_default_data_set() -> None:
    data = LanguageData.parse({"train": ["a.txt"]})
    assert (data.name, data.train) == (None, [Path("a.txt")])
    again = LanguageData.parse(data.model_dump(exclude_none=True))
    assert again == data


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": ["a"], "name": "kjv"}, "either files .* or the name"),
        ({"valid_share": 0.6, "test_share": 0.4}, "leave something to train on"),
        ({"valid_share": -0.1}, "valid_share"),
        ({"level": "letters"}, "level"),
        ({"vocabulary": 1}, "vocabulary"),
        ({"lanes": 0}, "lanes"),
        ({"eval_lanes": 0}, "eval_lanes"),
        ({"length": 0}, "length"),
        ({"min_count": 0}, "min_count"),
    ],
)
def test_data_that_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LanguageData.parse(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": 0}, "hidden"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.5}, "dropout"),
        ({"cell": "gur"}, "did you mean 'gru'"),
        ({"activation": "relu"}, "the cell lstm has no activation"),
        ({"tied": True, "input": "one-hot"}, "tied weights are the embedding's"),
        ({"tied": True, "embedding": 8, "hidden": 9}, "embedding = hidden = 9, got 8"),
        ({"init": "chrono", "init_range": 0.1}, "both set the first weights"),
        ({"init_range": 0}, "init_range"),
    ],
)
def test_networks_that_cannot_be_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LanguageNet.parse(values)


def test_tied_weights_may_name_the_size() -> None:
    assert LanguageNet.parse({"tied": True, "embedding": 9, "hidden": 9}).tied


def test_without_a_text_some_of_the_embedded_one_is_read() -> None:
    assert (LanguageData.parse({}).name, LanguageData.parse({}).lines) == (EMBEDDED, EMBEDDED_LINES)
    assert LanguageData.parse({"lines": 50}).lines == 50
    assert LanguageData.parse({"name": EMBEDDED}).lines is None
    files = LanguageData.parse({"train": ["a.txt"]})
    assert (files.name, files.lines) == (None, None)


def test_only_words_are_lowered_and_cut_from_their_punctuation_unless_asked() -> None:
    words, characters = LanguageData.parse({}), LanguageData.parse({"level": "char"})
    assert (words.lowercase, words.punctuation) == (True, True)
    assert (characters.lowercase, characters.punctuation) == (False, False)
    assert LanguageData.parse({"level": "char", "lowercase": True}).lowercase
    assert not LanguageData.parse({"punctuation": False}).punctuation


def test_what_is_resolved_reads_back_as_itself() -> None:
    for values in ({}, {"train": ["a.txt"], "level": "char"}, {"vocabulary": None}):
        section = LanguageData.parse(values)
        assert LanguageData.parse(section.model_dump()) == section
