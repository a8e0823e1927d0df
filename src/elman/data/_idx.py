"""IDX files, as those of MNIST: bytes behind a header that states their sizes."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman._errors import DataError
from elman.data import _limits as limits
from elman.data._table import IDX, ReadOptions, Record, check_columns
from elman.data._text import open_binary

UNSIGNED_BYTE = 0x08


def read_idx(file: Path, options: ReadOptions) -> Iterator[Record]:
    """Images as series, a pixel a step, from left to right and top to bottom.

    The labels are in a file beside the images, whose name has ``labels-idx1`` for ``images-idx3``;
    they are read if the column ``label`` is required.

    Args:
        file: the images, whose name ends in ``images-idx3-ubyte``, or that and ``.gz``.
        options: as those of a table.

    Returns:
        Records with the values "series", (pixels, 1) from 0 to 1, and "label", a text.

    Raises:
        DataError: no such file; a header that is not that of such a file; fewer or more bytes than
            it states; another number of labels.

    References:
        LeCun, Cortes & Burges 1998, "The MNIST database of handwritten digits".
    """
    if IDX.fullmatch(file.name)["kind"] == "labels":  # type: ignore[index]
        raise DataError(
            f"{file}: expected images, got labels: give the images; the labels beside them are "
            "read, too"
        )
    labeled = "label" in options.required
    check_columns(file, options.required, ["series", *["label"] * labeled])
    labels = _labels(file) if labeled else None
    with open_binary(file) as (_, stream):
        images, *sides = _sizes(stream, file, 3)
        if labels is not None and len(labels) != images:
            raise DataError(
                f"{_beside(file)}: expected as many labels as {file.name} has images, {images:,}, "
                f"got {len(labels):,}: give files that belong together"
            )
        for number in range(images):
            series = _bytes(stream, file, prod(sides), f"image {number + 1:,} of {images:,}")
            values: dict[str, Any] = {"series": series[:, None].astype(np.float32) / 255}
            if labels is not None:
                values["label"] = str(labels[number])
            yield Record(f"{file}, image {number + 1}", values)
        _check_end(stream, file)


def _labels(images: Path) -> NDArray[np.uint8]:
    file = _beside(images)
    with open_binary(file) as (_, stream):
        (count,) = _sizes(stream, file, 1)
        labels = _bytes(stream, file, count, f"{count:,} labels")
        _check_end(stream, file)
    return labels


def _beside(images: Path) -> Path:
    """The file of the labels, compressed or not."""
    kind = IDX.fullmatch(images.name)
    assert kind
    plain = f"{kind['before']}labels{kind['mark']}idx1-ubyte"
    candidates = [images.with_name(plain + end) for end in (kind["gz"] or "", "", ".gz")]
    files = [file for file in candidates if file.is_file()]
    if not files:
        raise DataError(
            f"{images}: expected its labels in {candidates[0].name} beside it, got no file"
        )
    return files[0]


def _sizes(stream: io.BufferedReader, file: Path, axes: int) -> tuple[int, ...]:
    """What the header states: how many, and for images rows and columns of pixels."""
    length = 4 + 4 * axes
    header = stream.read(length)
    expected = bytes([0, 0, UNSIGNED_BYTE, axes])
    if header[:4] != expected:
        raise DataError(
            f"{file}: expected the magic number {expected.hex()}, of unsigned bytes with {axes} "
            f"axes, got {header[:4].hex() or 'an empty file'}: give a file of such a kind"
        )
    if len(header) < length:
        raise DataError(
            f"{file}: expected a header of {length} bytes, got {len(header)}: fetch the file again"
        )
    sizes = struct.unpack(f">{axes}I", header[4:])
    if 0 in sizes or prod(sizes[1:] or sizes) > limits.ROW:
        raise DataError(
            f"{file}: expected sizes of 1 to {limits.ROW:,} bytes in the header, got "
            f"{' x '.join(map(str, sizes))}: check or fetch the file again"
        )
    return sizes


def _bytes(stream: io.BufferedReader, file: Path, count: int, what: str) -> NDArray[np.uint8]:
    content = stream.read(count)
    if len(content) < count:
        raise DataError(f"{file}: expected {what}, but the file ends before: fetch the file again")
    return np.frombuffer(content, np.uint8)


def _check_end(stream: io.BufferedReader, file: Path) -> None:
    """Refuse bytes behind the last; the end is also where the checksum of a .gz file is checked."""
    if stream.read(1):
        raise DataError(
            f"{file}: expected the file to end after the sizes that its header states, got more "
            "bytes: check or fetch the file again"
        )
