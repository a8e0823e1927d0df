"""Reading text, a line at a time: files, compressed files, folders of them, and lines in memory."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from elman._errors import ConfigError, DataError, check_path
from elman.data import _limits as limits

Progress = Callable[[int, int], object]
"""Called now and then with the bytes read so far and the bytes there are."""

LONGEST = 1 << 16
"""A line of more characters is read in pieces, so that memory does not grow with the file."""


class Source(ABC):
    """Text that can be read more than once, a line at a time, however long it is.

    ``name`` is what messages call it; ``size`` is its approximate length in bytes, for progress.
    """

    name: str
    size: int

    @abstractmethod
    def lines(self, progress: Progress | None = None) -> Iterator[str]:
        r"""The lines in order, each ending in ``"\n"``, the last one too.

        A very long line comes in pieces, cut before a space; only its last one ends in ``"\n"``.
        """

    def __iter__(self) -> Iterator[str]:
        return self.lines()

    def split(self, valid: float = 0.05, test: float = 0.05) -> Split:
        r"""Cut into training, validation and test text, in this order and without shuffling.

        Neighboring lines often belong together (a story), so each part is one contiguous run of
        whole lines. Each part has at least one line.

        Args:
            valid: the share of the lines that goes into the validation text, 0 for none.
            test: the share of the lines that goes into the test text, 0 for none.

        Raises:
            ConfigError: the shares are negative, or leave nothing to train on.
            DataError: there are fewer lines than parts.

        Example:
            >>> parts = Lines([f"line {i}" for i in range(20)]).split()
            >>> list(parts.valid), len(list(parts.train))
            (['line 18\n'], 18)
        """
        if min(valid, test) < 0 or valid + test >= 1:
            raise ConfigError(
                f"valid and test must be at least 0 and together less than 1, got {valid} and "
                f"{test}"
            )
        count = sum(line.endswith("\n") for line in self.lines())
        cuts = [_share(valid, count), _share(test, count)]
        needed = 1 + sum(cut > 0 for cut in cuts)
        if count < needed:
            raise DataError(
                f"{self.name}: expected at least {needed} lines to split into {needed} parts, got "
                f"{count}: give separate validation and test files, or break the text into lines"
            )
        train = count - sum(cuts)
        return Split(
            _LineRange(self, 0, train, count),
            _LineRange(self, train, train + cuts[0], count) if cuts[0] else None,
            _LineRange(self, train + cuts[0], count, count) if cuts[1] else None,
        )

    def head(self, lines: int) -> Source:
        r"""Its first lines; all of it, if it has no more.

        Example:
            >>> list(Lines(["one", "two", "three"]).head(2))
            ['one\n', 'two\n']
        """
        count = sum(line.endswith("\n") for line in self.lines())
        return _LineRange(self, 0, lines, count) if lines < count else self


class Split(NamedTuple):
    """The three parts of a text; a part with a share of 0 is None."""

    train: Source
    valid: Source | None
    test: Source | None


class TextSource(Source):
    r"""Text files, ``.gz`` files and folders of them.

    Folders are read through all their levels in the order of the sorted names, leaving out hidden
    files. Line ends of every system are read as ``"\n"``, and a byte order mark is left out.

    Args:
        paths: files and folders, read one after the other.
        encoding: the name of the files' encoding, as Python knows it.

    Raises:
        ConfigError: no such encoding, or no path.
        DataError: a path does not exist or holds no file; while reading: a file is binary, is not
            in this encoding (with the line), is damaged, or all of them are empty.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "cat.txt")
        >>> _ = path.write_text("the cat\nsat")
        >>> list(TextSource(path))
        ['the cat\n', 'sat\n']
    """

    def __init__(self, *paths: str | os.PathLike[str], encoding: str = "utf-8") -> None:
        if not paths:
            raise ConfigError("expected at least one file or folder, got none")
        codec(encoding)
        self.encoding = encoding
        self.files = [file for path in paths for file in files_in(Path(path))]
        self.name = ", ".join(str(path) for path in paths)
        self.size = sum(file.stat().st_size for file in self.files)

    def lines(self, progress: Progress | None = None) -> Iterator[str]:
        before, empty = 0, True
        for file in self.files:
            with open_binary(file) as (raw, binary):
                for line in self._decoded(file, binary):
                    yield line
                    empty = False
                    if progress is not None:
                        progress(before + raw.tell(), self.size)
            before += file.stat().st_size
        if empty:
            raise DataError(
                f"{self.name}: expected a text, got nothing: choose a file that is not empty"
            )

    def _decoded(self, file: Path, binary: io.BufferedReader | gzip.GzipFile) -> Iterator[str]:
        encoding = codec(self.encoding)
        number = 1
        try:
            with io.TextIOWrapper(binary, encoding) as text:
                for line in _pieces(text):
                    _check_text(line, f"{file}, line {number}", self.encoding)
                    yield line
                    number += line.endswith("\n")
        except UnicodeDecodeError as error:
            # A block is decoded only when no whole line is left, so its line can be counted.
            number += error.object[: error.start].decode(error.encoding, "replace").count("\n")
            raise DataError(
                f"{file}, line {number}: byte 0x{error.object[error.start]:02x} is not "
                f"{self.encoding}: name the encoding of the file, for example "
                'encoding="latin-1", or convert it to UTF-8'
            ) from error
        except UnicodeError as error:
            raise not_encoded(f"{file}, line {number}", self.encoding, error) from error


class Lines(Source):
    r"""Lines that are in memory already.

    Args:
        lines: the lines, with or without their ``"\n"``.
        name: what to call them in messages.

    Example:
        >>> list(Lines(["one", "two"]))
        ['one\n', 'two\n']
    """

    def __init__(self, lines: Iterable[str], name: str = "lines") -> None:
        self._lines: Sequence[str] = list(lines)
        self.name = name
        self.size = sum(len(line) for line in self._lines)

    def lines(self, progress: Progress | None = None) -> Iterator[str]:
        complete = (line if line.endswith("\n") else line + "\n" for line in self._lines)
        return _metered(complete, len(self._lines), self.size, progress)


class _LineRange(Source):
    """Lines `start` to `stop` of a source of `count` lines."""

    def __init__(self, whole: Source, start: int, stop: int, count: int) -> None:
        self._whole, self._start, self._stop = whole, start, stop
        self.name = f"{whole.name} (lines {start + 1} to {stop})"
        self.size = whole.size * (stop - start) // count

    def lines(self, progress: Progress | None = None) -> Iterator[str]:
        return _metered(self._within(), self._stop - self._start, self.size, progress)

    def _within(self) -> Iterator[str]:
        number = 0
        for line in self._whole.lines():
            if number >= self._start:
                yield line
            number += line.endswith("\n")
            if number >= self._stop:
                return


def _share(fraction: float, count: int) -> int:
    return max(1, round(fraction * count)) if fraction else 0


def _metered(
    lines: Iterable[str], count: int, size: int, progress: Progress | None
) -> Iterator[str]:
    """The lines, with calls of `progress` as if all lines were equally long."""
    number = 0
    for line in lines:
        yield line
        number += line.endswith("\n")
        if progress is not None:
            progress(size * number // count, size)


def files_in(path: Path) -> list[Path]:
    """The file, or all files within the folder."""
    check_path("a file or a folder of files", path)
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.exists():
        raise DataError(f"{path}: no such file or folder: check the path (looked in {Path.cwd()})")
    files = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
    if not files:
        raise DataError(f"{path}: expected files in this folder, got none: choose another")
    return files


def codec(encoding: str) -> str:
    """The codec of an encoding; that of UTF-8 skips the byte order mark that Windows writes.

    Raises:
        ConfigError: no such encoding.
    """
    try:
        "".encode(encoding)  # a LookupError also for what is no encoding of text, such as hex
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise ConfigError(
            f"unknown encoding {encoding!r}: expected one that Python knows, such as utf-8, "
            "latin-1, cp1252 or utf-16"
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _check_text(line: str, where: str, encoding: str) -> None:
    if "\0" in line:
        raise DataError(
            f"{where}: holds a NUL byte, so it is a binary file, or not {encoding}: "
            'give a text file, or name its encoding, for example encoding="utf-16"'
        )


def not_encoded(place: str, encoding: str, error: UnicodeError) -> DataError:
    """The error for text that the codec cannot read."""
    return DataError(f"{place}: not {encoding}: {error}: name the file's encoding, or convert it")


@contextmanager
def open_binary(file: Path) -> Iterator[tuple[io.BufferedReader, io.BufferedReader]]:
    """The file itself, and the stream to read: decompressed, if the name ends in .gz."""
    try:
        with file.open("rb") as raw:
            if file.suffix == ".gz":
                with gzip.open(raw) as unpacked:
                    yield raw, io.BufferedReader(_Unpacked(file, raw, unpacked), 1 << 16)
            else:
                yield raw, raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{file}: cannot be read: {error}: check or fetch the file again"
        ) from error


class _Unpacked(io.RawIOBase):
    """The content of a compressed file, refused where it unpacks to more than real data would."""

    def __init__(self, file: Path, raw: io.BufferedReader, unpacked: gzip.GzipFile) -> None:
        self._file, self._raw, self._unpacked = file, raw, unpacked
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._unpacked.readinto1(buffer)
        self._count += count
        if self._count > max(limits.UNPACKED, limits.RATIO * self._raw.tell()):
            raise DataError(
                f"{self._file}: unpacks to more than {limits.RATIO} times its size, as a "
                "decompression bomb does: if the file is genuine, unpack it with gunzip"
            )
        return count


def _pieces(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines, each with its newline; too long ones cut before a space, which no token crosses."""
    rest, ended = "", True
    while piece := text.readline(LONGEST):
        if len(piece) < LONGEST and not piece.endswith("\n"):
            piece += "\n"
        ended = piece.endswith("\n")
        piece = rest + piece
        cut = len(piece) if ended else max(piece.rfind(" "), 0) or len(piece)
        yield piece[:cut]
        rest = piece[cut:]
    if not ended:
        yield rest + "\n"
