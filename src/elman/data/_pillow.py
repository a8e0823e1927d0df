"""Pillow, called here alone to open files: its formats are named, its errors are ours."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from elman.data._table import BadValue

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Formats that are read, whatever the file's suffix; for others Pillow may start Ghostscript."""


@contextmanager
def opened_image(file: Path, problem: str, column: str = "") -> Iterator[Image]:
    """An image file, opened and not yet decoded; ``problem`` is what its errors begin with.

    Raises:
        BadValue: it has none of the `FORMATS`, or is damaged; also raised inside the block.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Its warnings are about metadata, which is damaged in many intact photographs
            # wrong; where pixels are missing it raises.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                yield image
    except BadValue:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        OverflowError,
        ZeroDivisionError,
        NotImplementedError,
        MemoryError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise BadValue(column, f"{problem}: {error}") from error


class Sized(Protocol):
    """What has a size in pixels."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


def check_pixels(image: Sized, most: int, name: str, column: str = "") -> None:
    """Refuse an image of more pixels."""
    width, height = image.width, image.height
    if width * height > most:
        raise BadValue(
            column,
            f"{name}: expected at most {most:,} pixels, got {width:,} x {height:,}: "
            "make it smaller",
        )
