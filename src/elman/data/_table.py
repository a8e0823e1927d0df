"""Tables: CSV, TSV, JSON lines and Parquet, a row at a time, with a policy for bad rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Self

from elman._errors import DataError, nearest
from elman.data import _limits as limits
from elman.data._formulas import unguarded
from elman.data._text import codec, files_in, not_encoded, open_binary

_PLAIN = {"", ".txt", ".dat", ".data", ".tab", ".text", ".log"}
"""Suffixes of plain text, which may be a table under another name; a picture may not."""

IDX = re.compile(r"(?P<before>.*)(?P<kind>images|labels)(?P<mark>[-.])idx[13]-ubyte(?P<gz>\.gz)?")
"""The name of a file of images or of their labels, as those of MNIST."""

_STRAY = re.compile("[\udc80-\udcff]")


class Record(NamedTuple):
    """One row: its place, for messages, and its values by column."""

    place: str
    values: Mapping[str, Any]


class ReadOptions(NamedTuple):
    """How a file is read; the arguments of `read_table`."""

    required: Sequence[str]
    bad: BadRows
    names: Sequence[str]
    encoding: str


class BadValue(DataError):
    """A row cannot be used because of one of its values.

    Args:
        column: the column; empty if it is the whole row.
        why: what was expected, and what came.
    """

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"column {column!r}: {why}" if column else why)
        self.column = column


class BadRows:
    """The policy for rows that cannot be used: an error, or they are skipped and counted.

    Args:
        action: "error", or "skip".

    Example:
        >>> bad = BadRows("skip")
        >>> with bad.place("a.csv, line 3"):
        ...     raise BadValue("label", "is empty")
        >>> bad.skipped
        ["a.csv, line 3, column 'label': is empty"]
    """

    def __init__(self, action: Literal["error", "skip"] = "error") -> None:
        self.action = action
        self.skipped: list[str] = []

    def place(self, place: str) -> AbstractContextManager[None]:
        """Handles a BadValue that is raised inside the block, for the row at that place."""
        return _RowPlace(self, place)


class _RowPlace(AbstractContextManager[None]):
    """Entered once or twice a row, so it is a class: a generator takes three times as long."""

    __slots__ = ("_bad", "_place")

    def __init__(self, bad: BadRows, place: str) -> None:
        self._bad, self._place = bad, place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, BadValue):
            return False
        separator = ", " if error.column else ": "
        message = f"{self._place}{separator}{error}"
        if self._bad.action == "error":
            raise DataError(
                f"{message}; fix the row, or skip such rows with --on-bad-row skip"
            ) from None
        self._bad.skipped.append(message)
        return True


def read_table(
    path: Path,
    required: Sequence[str],
    bad: BadRows,
    *,
    names: Sequence[str] = (),
    encoding: str = "utf-8",
) -> Iterator[Record]:
    r"""The rows of a file, or of all files in a folder, in order.

    The end of the name says what it is: ``.csv`` (quoted as in RFC 4180), ``.tsv`` (never quoted),
    ``.jsonl`` or ``.ndjson`` (an object a line), each also with ``.gz``; ``.parquet`` where pyarrow
    is installed; ``images-idx3-ubyte``, also with ``.gz``: the images of MNIST, whose columns are
    ``series``, a pixel a step, and ``label``. A row whose number of fields differs from the
    header's, a line that is not JSON, and bytes that are not in the encoding are bad rows. The
    apostrophe that `guarded` puts before a formula in a CSV file is removed.

    Args:
        path: the file or folder.
        required: columns that the file must have; a pattern such as ``x*`` must match one.
        bad: what to do with bad rows.
        names: the columns of a CSV or TSV file without a header.
        encoding: of text files.

    Raises:
        DataError: no such file, an unknown format, a missing column, or a bad row.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "a.csv")
        >>> _ = file.write_text('text,label\n"good, really",1\n')
        >>> next(read_table(file, ["text", "label"], BadRows())).values
        {'text': 'good, really', 'label': '1'}
    """
    options = ReadOptions(required, bad, names, encoding)
    for file in files_in(path):
        if is_idx(file):
            if file != Path(path):
                raise DataError(
                    f"{path}: expected a file of images, got a folder of IDX files: name the "
                    "training images in it, and its test images with --test"
                )
            yield from _idx(file, options)
            continue
        kind = file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix
        if kind not in TABLE_FORMATS:
            raise DataError(
                f"{file}: expected a table ({', '.join(TABLE_FORMATS)}), "
                f"got {kind or 'no suffix'}: "
                f"{'rename it if it is one' if kind in _PLAIN else 'convert it to one of these'}"
            )
        yield from TABLE_FORMATS[kind](file, options)


def is_idx(file: Path) -> bool:
    """Whether the name is that of an IDX file of images, or of their labels.

    >>> is_idx(Path("train-images-idx3-ubyte.gz"))
    True
    """
    return IDX.fullmatch(file.name) is not None


def check_columns(file: Path, required: Sequence[str], there: Sequence[str]) -> None:
    """Refuse a file that lacks a column, or has far too many; a pattern must match at least one."""
    if len(there) > limits.COLUMNS:
        raise DataError(
            f"{file}: expected at most {limits.COLUMNS:,} columns, got {len(there):,}: remove "
            "those that are not needed, or put the steps of a series into one"
        )
    for name in required:
        if not matching_columns(name, there):
            raise DataError(
                f"{file}: has no column {name!r}: {nearest(name, there)}; name an existing "
                "column, or set data.columns if the file has no header"
            )


def matching_columns(name: str, columns: Sequence[str]) -> list[str]:
    """The columns that match a name or a pattern with ``*``, in the file's order.

    >>> matching_columns("x*", ["y", "x1", "x2"])
    ['x1', 'x2']
    """
    pattern = re.compile(".*".join(map(re.escape, name.split("*"))))
    return [column for column in columns if pattern.fullmatch(column)]


class RowLines:
    """The lines of a stream, with a limit on the lines of one row together, from `begin` on.

    Raises:
        DataError: a row is too long.
    """

    def __init__(self, stream: IO[str], name: Path | str) -> None:
        self._stream, self._name = stream, name
        self.number = self._first = self._length = 0
        self.ended = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(limits.ROW + 1)
        if not line:
            self.ended = True
            raise StopIteration
        self.number += 1
        self._length += len(line)
        if self._length > limits.ROW:
            raise DataError(
                f"{self._name}, line {self._first + 1}: expected a row of at most {limits.ROW:,} "
                "characters, got more: close an open quote, or break the text into rows"
            )
        return line

    def begin(self) -> None:
        """The next line begins another row."""
        self._first, self._length = self.number, 0

    def rows(self) -> Iterator[tuple[int, str]]:
        """Each line with its number, as a row of its own."""
        for line in self:
            yield self.number, line
            self.begin()


def _separated(file: Path, options: ReadOptions, **dialect: Any) -> Iterator[Record]:
    before = csv.field_size_limit(limits.ROW)
    undo = unguarded if not dialect else str
    try:
        with opened_text(file, options.encoding) as stream:
            lines = RowLines(stream, file)
            reader = csv.reader(lines, strict=True, **dialect)
            header = list(options.names) or [undo(name) for name in _header(file, reader, lines)]
            check_columns(file, options.required, header)
            yield from _fields(file, reader, lines, header, undo, options)
    finally:
        csv.field_size_limit(before)


def _header(file: Path, reader: Any, lines: RowLines) -> list[str]:
    try:
        header: list[str] = next(reader, [])
    except csv.Error as error:
        raise DataError(
            f"{file}, line 1: {_malformed(error, lines)}: correct the header"
        ) from error
    if not header:
        raise DataError(f"{file}: expected the names of the columns in the first line")
    return header


def _fields(
    file: Path,
    reader: Any,
    lines: RowLines,
    header: Sequence[str],
    undo: Callable[[str], str],
    options: ReadOptions,
) -> Iterator[Record]:
    while True:
        first = reader.line_num + 1
        lines.begin()
        try:
            row: list[str] | csv.Error = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = error
        if row == []:
            continue
        place = f"{file}, line {first}"
        with options.bad.place(place):
            if isinstance(row, csv.Error):
                raise BadValue("", _malformed(row, lines)) from row
            if len(row) != len(header):
                fields = "1 field" if len(header) == 1 else f"{len(header)} fields"
                raise BadValue("", f"expected {fields}, got {len(row)}")
            for name, field in zip(header, row, strict=True):
                check_field(name, field, options.encoding)
            yield Record(place, dict(zip(header, map(undo, row), strict=True)))


def _malformed(error: csv.Error, lines: RowLines) -> str:
    if lines.ended:  # whole lines are whole rows, unless a quote is open
        return (
            f"a quote opens here and is not closed, so that all up to line {lines.number} is one "
            "field"
        )
    return f"not well-formed: {error}"


def _json_lines(file: Path, options: ReadOptions) -> Iterator[Record]:
    with opened_text(file, options.encoding) as stream:
        for number, line in RowLines(stream, file).rows():
            if line.isspace():
                continue
            place = f"{file}, line {number}"
            with options.bad.place(place):
                check_field("", line, options.encoding)
                yield Record(place, _object(line, options.required))


def _object(line: str, required: Sequence[str]) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise BadValue("", f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadValue("", f"expected an object, got {type(values).__name__}")
    if line.count("[") + line.count("{") > limits.DEPTH:  # most rows need not be looked through
        _check_depth(values)
    for name in required:
        if not matching_columns(name, list(values)):
            there = nearest(name, values) if values else "the object is empty"
            raise BadValue(name, f"missing: {there}")
    return values


def _check_depth(values: Any) -> None:
    """Refuse JSON that is nested too deeply to be printed or compared."""
    level = [values]
    for _ in range(limits.DEPTH):
        inside = (each for x in level for each in (x.values() if isinstance(x, dict) else x))
        level = [each for each in inside if isinstance(each, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> BadValue:
    return BadValue("", f"expected lists or objects at most {limits.DEPTH} deep, got deeper")


def _parquet(file: Path, options: ReadOptions) -> Iterator[Record]:
    from elman.data._parquet import read_parquet

    return read_parquet(file, options)


def _idx(file: Path, options: ReadOptions) -> Iterator[Record]:
    from elman.data._idx import read_idx

    return read_idx(file, options)


@contextmanager
def opened_text(file: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The file as text; bytes that are not in the encoding are kept, and refused with their row."""
    with (
        open_binary(file) as (_, binary),
        io.TextIOWrapper(binary, codec(encoding), errors="surrogateescape", newline="") as text,
    ):
        try:
            yield text
        except UnicodeError as error:  # of UTF-16, whose half characters cannot be kept
            raise not_encoded(str(file), encoding, error) from error


def check_field(name: str, field: str, encoding: str) -> None:
    """Refuse a text with bytes that are not in the encoding, or with NUL bytes."""
    if stray := _STRAY.search(field):
        byte = ord(stray[0]) - 0xDC00
        raise BadValue(name, f"byte 0x{byte:02x} is not {encoding}: name the file's encoding")
    if "\0" in field:
        raise BadValue(name, f"holds a NUL byte: the file is binary, or not {encoding}")


TABLE_FORMATS: dict[str, Callable[[Path, ReadOptions], Iterator[Record]]] = {
    ".csv": _separated,
    ".tsv": partial(_separated, delimiter="\t", quoting=csv.QUOTE_NONE),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
"""How a table is read, by the suffix of its file."""
