"""Sentences with a label for each word: CoNLL-U, and files of two or more columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from elman.data._table import BadRows, BadValue, Record, opened_text
from elman.data._text import _files

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of a CoNLL-U file."""

Block = list[tuple[int, str]]


def read_tagged(
    path: Path, bad: BadRows, *, tag: str | None = None, encoding: str = "utf-8"
) -> Iterator[Record]:
    r"""The sentences of a file, or of all files in a folder; blank lines stand between them.

    In a file that ends in ``.conllu`` (or ``.conllu.gz``) words and labels are two of the ten
    columns that Universal Dependencies have; ranges such as 3-4 and empty nodes such as 5.1 are no
    words. In any other, the word is the first column and the label the last, with tabs between
    them, or else spaces. Lines that begin with ``# `` or ``-DOCSTART-`` are passed over.

    Args:
        path: the file or folder.
        bad: what becomes of a sentence with a malformed line.
        tag: the label's column: of CoNLL-U a name, upos unless given; else a number from 1.
        encoding: of the files.

    Returns:
        Records with the values "tokens" and "tags", two lists.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "a.tsv")
        >>> _ = file.write_text("the\tO\nUN\tB-ORG\n\nBonn\tB-LOC\n")
        >>> [record.values["tokens"] for record in read_tagged(file, BadRows())]
        [['the', 'UN'], ['Bonn']]

    References:
        https://universaldependencies.org/format.html
    """
    for file in _files(path):
        conllu = ".conllu" in file.suffixes
        fields = _conllu(tag or "upos") if conllu else _columns(tag)
        with opened_text(file, encoding) as stream:
            for block in _blocks(stream):
                place = f"{file}, line {block[0][0]}"
                with bad.caught(place):
                    yield Record(place, _sentence(block, fields))


def _blocks(stream: io.TextIOWrapper) -> Iterator[Block]:
    """Runs of lines between blank ones, with their numbers."""
    block: Block = []
    for number, line in enumerate(stream, 1):
        text = line.rstrip("\r\n")
        if text.strip() and not text.startswith(("# ", "-DOCSTART-")):
            block.append((number, text))
        elif block and not text.strip():
            yield block
            block = []
    if block:
        yield block


def _sentence(block: Block, fields: Callable[[int, str], Sequence[str]]) -> dict[str, list[str]]:
    pairs = [pair for number, line in block if (pair := fields(number, line))]
    if not pairs:
        raise BadValue("", "no word in it")
    return {"tokens": [word for word, _ in pairs], "tags": [tag for _, tag in pairs]}


def _conllu(tag: str) -> Callable[[int, str], Sequence[str]]:
    if tag not in CONLLU:
        raise BadValue(tag, f"CoNLL-U has no such column, but {', '.join(CONLLU)}")
    column = CONLLU.index(tag)

    def fields(number: int, line: str) -> Sequence[str]:
        parts = line.split("\t")
        if len(parts) != len(CONLLU):
            raise BadValue(
                "", f"line {number}: {len(CONLLU)} fields were expected, got {len(parts)}"
            )
        return (parts[1], parts[column]) if parts[0].isdecimal() else ()

    return fields


def _columns(tag: str | None) -> Callable[[int, str], Sequence[str]]:
    at = int(tag) - 1 if tag else -1

    def fields(number: int, line: str) -> Sequence[str]:
        parts = line.split("\t") if "\t" in line else line.split()
        if len(parts) < max(2, at + 1) or not parts[0] or not parts[at]:
            raise BadValue("", f"line {number}: a word and a label were expected, got {line!r}")
        return parts[0], parts[at]

    return fields
