"""Vectors of words from a file: one a line, as word2vec, GloVe and fastText write them as text."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman._errors import DataError
from elman.data import _limits as limits
from elman.data._text import open_binary


class Vectors(NamedTuple):
    """A vector for each token; ``mask`` is true where the file has one, the others are 0."""

    values: Tensor  # (V, size)
    mask: Tensor  # (V,) booleans


def read_vectors(path: Path, tokens: Sequence[str]) -> Vectors:
    r"""The vectors of these tokens; those of other words are passed over, not kept in memory.

    A line is a word and its numbers with spaces between them; a first line of two integers, the
    count and the size, is passed over. ``.gz`` files are read, too. A token has the vector of the
    word that is written exactly alike; where a word is there twice, the first counts.

    Args:
        path: the file, ``.vec`` or ``.txt``.
        tokens: the vocabulary's tokens, in the order of their indices.

    Raises:
        DataError: the file cannot be read, a line is malformed, or no token is in it.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "small.vec")
        >>> _ = file.write_text("2 3\ncat 1 0 0\ndog 0 1 0\n")
        >>> read_vectors(file, ["<unk>", "dog"])
        Vectors(values=tensor([[0., 0., 0.],
                [0., 1., 0.]]), mask=tensor([False,  True]))
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file: check the path of the vectors")
    indices = {token: index for index, token in enumerate(tokens)}
    vectors: dict[int, np.ndarray] = {}
    size = 0
    with open_binary(path) as (_, file):
        for number, line in enumerate(_lines(path, file), 1):
            fields = line.decode("utf-8", "replace").rstrip().split(" ")
            if number == 1 and len(fields) == 2:
                continue
            size = size or len(fields) - 1
            # A word may itself have spaces in it.
            word = " ".join(fields[: len(fields) - size])
            if size > limits.COMPONENTS:
                raise DataError(
                    f"{path}, line {number}: expected a vector of at most {limits.COMPONENTS:,} "
                    f"numbers, got {size:,}: check that this is a file of vectors"
                )
            if len(fields) <= size or size < 1:
                raise DataError(
                    f"{path}, line {number}: expected a word and {size or 'its'} numbers, as "
                    f"in the first vector, got {len(fields) - 1} numbers: correct the line or "
                    "take it out; the file may be cut short"
                )
            index = indices.get(word)
            if index is not None and index not in vectors:
                vectors[index] = _numbers(path, number, fields[-size:])
    if not vectors:
        raise DataError(
            f"{path}: no vector for any of the {len(tokens):,} tokens: check that the words match"
        )
    values = torch.zeros(len(tokens), size)
    there = torch.tensor(sorted(vectors))
    values[there] = torch.from_numpy(np.stack([vectors[i] for i in sorted(vectors)]))
    return Vectors(values, torch.zeros(len(tokens), dtype=torch.bool).index_fill(0, there, True))


def _lines(path: Path, file: io.BufferedReader) -> Iterator[bytes]:
    most = limits.LINE_OF_VECTOR
    for number in count(1):
        line = file.readline(most + 1)
        if len(line) > most:
            raise DataError(
                f"{path}, line {number}: expected a word and its numbers in at most {most:,} "
                "bytes, got more: save the vectors as text, one a line"
            )
        if not line:
            return
        yield line


def _numbers(path: Path, number: int, fields: Sequence[str]) -> np.ndarray:
    try:
        values = [float(field) for field in fields]
    except ValueError as error:
        raise DataError(f"{path}, line {number}: {error}") from error
    with np.errstate(over="ignore"):
        vector = np.array(values).astype(np.float32)
    if not np.isfinite(vector).all():
        raise DataError(f"{path}, line {number}: expected finite numbers: correct the line")
    return vector
