"""Token files: a text as numbers on the disk, mapped into memory instead of loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from tokenize import TokenError  # numpy reads the header of a file as Python
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from elman._errors import DataError
from elman._files import replacing, require_plain, why
from elman.data._text import Progress, Source
from elman.data._vocab import Vocabulary

BATCH = 1 << 20
"""Characters encoded at a time: enough for all threads, little enough for any memory."""


def tokenize(
    source: Source,
    vocabulary: Vocabulary,
    destination: str | os.PathLike[str],
    progress: Progress | None = None,
) -> NDArray[Any]:
    r"""Write a text as a token file and open it.

    The file is an ``.npy`` array (tokens,) of uint16, or of uint32 for more than 65,536 entries. It
    is written in a stream, so neither it nor the text needs to fit into memory, and it takes its
    name only once it is complete.

    Args:
        source: the text.
        vocabulary: what encodes it; one that has ``<eos>`` puts it at each line's end.
        destination: the token file to write, or to replace.
        progress: called with the bytes read so far and the bytes there are.

    Returns:
        The memory map of the tokens, read-only, as `open_tokens` gives it.

    Raises:
        DataError: the text cannot be read, leaves no token, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from elman.data import Lines, Vocabulary
        >>> text = Lines(["the cat sat", "the dog"])
        >>> words = Vocabulary.train(text, "word", eos=True)
        >>> tokens = tokenize(text, words, Path(tempfile.mkdtemp(), "train.npy"))
        >>> words.decode(tokens)
        'the cat sat\nthe dog\n'
    """
    dtype = np.dtype(np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32).newbyteorder("<")
    with replacing(destination) as file:
        _write_header(file, dtype, 0)
        start, count = file.tell(), 0
        for lines in _batches(source.lines(progress)):
            rows = vocabulary.encode_lines(lines)
            tokens = np.fromiter(chain.from_iterable(rows), dtype)
            file.write(tokens.tobytes())
            count += len(tokens)
        if not count:
            raise DataError(
                f"{source.name}: only blank lines, which leave no token: give more text"
            )
        file.seek(0)
        _write_header(file, dtype, count)
        if file.tell() != start:
            raise AssertionError("numpy keeps room in the header for any length")
    return open_tokens(destination)


def open_tokens(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Map a token file into memory: its tokens (tokens,), read-only, loaded as they are used.

    Raises:
        DataError: no such file, or it is not a token file.
    """
    try:
        require_plain(path)
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TokenError, OverflowError) as error:
        raise DataError(
            f"{path}: not a token file ({why(error)}): write it again with tokenize"
        ) from error
    if not isinstance(tokens, np.ndarray) or tokens.ndim != 1 or tokens.dtype.kind != "u":
        raise DataError(f"{path}: not a token file: expected one row of unsigned integers")
    return tokens


def _write_header(file: BinaryIO, dtype: np.dtype[Any], count: int) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype.str, "fortran_order": False, "shape": (count,)}
    )


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch, size = [], 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    yield batch
