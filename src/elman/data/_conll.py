"""Sentences with a label for each word: CoNLL-U, and files of two or more columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from elman._errors import ConfigError, DataError, nearest
from elman.data import _limits as limits
from elman.data._table import BadRows, BadValue, Record, RowLines, check_field, opened_text
from elman.data._text import files_in

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of a CoNLL-U file."""

Block = list[tuple[int, str]]
Fields = Callable[[str], Sequence[str]]
"""The word and the label in a line, nothing if it is neither, or a BadValue."""


def read_tagged(
    path: Path, bad: BadRows, *, tag: str | None = None, encoding: str = "utf-8"
) -> Iterator[Record]:
    r"""The sentences of a file, or of all files in a folder; separated by blank lines.

    In a file that ends in ``.conllu`` (or ``.conllu.gz``) words and labels are two of the ten
    columns that Universal Dependencies have; ranges such as 3-4 and empty nodes such as 5.1 are no
    words. In any other, the word is the first column and the label the last, with tabs between
    them, or else spaces. Lines that begin with ``# `` or ``-DOCSTART-`` are passed over.

    Args:
        path: the file or folder.
        bad: what to do with a sentence that has a malformed line.
        tag: the label's column: of CoNLL-U a name, upos unless given; else a number from 1.
        encoding: of the files.

    Raises:
        ConfigError: there can be no such column.

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
    for file in files_in(path):
        conllu = ".conllu" in file.suffixes
        fields = _conllu(tag or "upos", encoding) if conllu else _columns(tag, encoding)
        with opened_text(file, encoding) as stream:
            for block in _blocks(file, stream):
                with bad.place(f"{file}, line {_malformed(block, fields)}"):
                    yield Record(f"{file}, line {block[0][0]}", _sentence(block, fields))


def _blocks(file: Path, stream: io.TextIOWrapper) -> Iterator[Block]:
    """Runs of lines between blank ones, with their numbers."""
    block: Block = []
    for number, line in RowLines(stream, file).rows():
        if line.isspace():
            if block:
                yield block
            block = []
        elif not line.startswith(("# ", "-DOCSTART-")):
            block.append((number, line.rstrip("\r\n")))
            if len(block) > limits.SENTENCE:
                raise DataError(
                    f"{file}, line {block[0][0]}: expected a sentence of at most "
                    f"{limits.SENTENCE:,} lines, got more: put blank lines between sentences"
                )
    if block:
        yield block


def _malformed(block: Block, fields: Fields) -> int:
    """The number of the first malformed line; of the first line if there is none."""
    for number, line in block:
        try:
            fields(line)
        except BadValue:
            return number
    return block[0][0]


def _sentence(block: Block, fields: Fields) -> dict[str, list[str]]:
    pairs = [pair for _, line in block if (pair := fields(line))]
    if not pairs:
        raise BadValue("", "the sentence has no words")
    return {"tokens": [word for word, _ in pairs], "tags": [tag for _, tag in pairs]}


def _conllu(tag: str, encoding: str) -> Fields:
    if tag not in CONLLU:
        raise ConfigError(f"CoNLL-U has no column {tag!r} for data.tag: {nearest(tag, CONLLU)}")
    column = CONLLU.index(tag)

    def fields(line: str) -> Sequence[str]:
        check_field("", line, encoding)
        parts = line.split("\t")
        if len(parts) != len(CONLLU):
            raise BadValue("", f"expected {len(CONLLU)} fields, got {len(parts)}")
        return (parts[1], parts[column]) if parts[0].isdecimal() else ()

    return fields


def _columns(tag: str | None, encoding: str) -> Fields:
    if tag and (not tag.isdecimal() or int(tag) < 1):
        raise ConfigError(
            "data.tag must be the number of the label's column, from 1, for a file whose name does "
            f"not end in .conllu, got {tag!r}"
        )
    column = int(tag) - 1 if tag else -1

    def fields(line: str) -> Sequence[str]:
        check_field("", line, encoding)
        parts = line.split("\t") if "\t" in line else line.split()
        if len(parts) < max(2, column + 1) or not parts[0] or not parts[column]:
            which = f"a label in column {tag}" if tag else "a label"
            raise BadValue("", f"expected a word and {which}, got {limits.excerpt(line)}")
        return parts[0], parts[column]

    return fields
