"""Pairs of texts that mean the same: parallel files, and those that packages carry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from elman._errors import DataError
from elman.data._table import BadRows, Record, RowLines, check_field, opened_text

LANGUAGES = ("ar", "de", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", "zh")
"""The languages besides English in which the package emoji has names."""

_QUALIFIED = 2  # the status of an emoji that is written in full; its shorter forms have its name


def read_parallel(
    source: Path,
    target: Path,
    names: tuple[str, str],
    bad: BadRows | None = None,
    *,
    encoding: str = "utf-8",
) -> Iterator[Record]:
    r"""The lines of two parallel text files (also ``.gz``): line N of both has the same meaning.

    Args:
        source: the file to translate.
        target: its translation.
        names: the columns that their lines become.
        bad: what to do with a line that is not in the encoding; an error by default.
        encoding: of both.

    Raises:
        DataError: a file cannot be read, they have different numbers of lines, or a bad line.

    Example:
        >>> import tempfile
        >>> german, english = (Path(tempfile.mkdtemp(), name) for name in ("a.de", "a.en"))
        >>> _ = german.write_text("ein Hund\n"), english.write_text("a dog\n")
        >>> next(read_parallel(german, english, ("de", "en"))).values
        {'de': 'ein Hund', 'en': 'a dog'}
    """
    files = source, target
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such file: check the path (looked in {Path.cwd()})")
    counts, bad = [0, 0], bad or BadRows()
    with ExitStack() as stack:
        texts = [stack.enter_context(opened_text(file, encoding)) for file in files]
        streams = [RowLines(*both).rows() for both in zip(texts, files, strict=True)]
        for number, lines in enumerate(zip_longest(*streams), 1):
            counts = [n + (line is not None) for n, line in zip(counts, lines, strict=True)]
            if None not in lines:
                values = {n: row[1].rstrip("\r\n") for n, row in zip(names, lines, strict=True)}
                with bad.place(f"{source} and {target}, line {number}"):
                    for name, text in values.items():
                        check_field(name, text, encoding)
                    yield Record(f"{source}, line {number}", values)
    if counts[0] != counts[1]:
        raise DataError(
            f"parallel files must have the same number of lines, got {counts[0]:,} in {source} "
            f"and {counts[1]:,} in {target}: each line must translate the same line of the other"
        )


def pronunciations(path: Path) -> Iterator[Mapping[str, Any]]:
    """Each spelling of the CMU dictionary once, letter by letter, with all its pronunciations."""
    with path.open(encoding="utf-8") as file:
        # An entry is "read(2) R EH1 D", and may end in a comment.
        entries = (line.partition("#")[0].split(None, 1) for line in file)
        named = ((re.sub(r"\(\d+\)$", "", word), phonemes.strip()) for word, phonemes in entries)
        for word, variants in groupby(named, key=lambda entry: entry[0]):
            yield {"source": word, "target": [phonemes for _, phonemes in variants]}


def emoji_names(path: Path) -> Iterator[Mapping[str, Any]]:
    """The names of each emoji, by language."""
    names: dict[str, dict[str, Any]] = {
        language: json.loads(path.with_name(f"emoji_{language}.json").read_text(encoding="utf-8"))
        for language in LANGUAGES
    }
    for emoji, english in json.loads(path.read_text(encoding="utf-8")).items():
        if english["status"] == _QUALIFIED:
            translations = {"en": english["en"]} | {
                name: table[emoji] for name, table in names.items()
            }
            yield {name: text.strip(":").replace("_", " ") for name, text in translations.items()}
