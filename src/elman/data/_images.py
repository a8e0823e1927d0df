"""Images: files that Pillow reads, and those of a font."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman._errors import ConfigError
from elman.data import _limits as limits
from elman.data._pillow import check_pixels, opened_image
from elman.data._table import BadValue

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
"""An image: (height, width) or (height, width, channels), as bytes."""

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""The ends of the names of image files, in lower case."""

_MOJI, _EM = 64, 84
_STRIP = 256


def read_image(image: Path | Pixels, size: int) -> Pixels:
    """An image as bytes (3, size, size): red, green and blue, squeezed into a square.

    EXIF orientation is applied, transparent parts become white, and an animation gives its first
    frame.

    Args:
        image: a file, or pixels (height, width, 3).
        size: the side of the square.

    Raises:
        ConfigError: Pillow is not installed.
        BadValue: the file does not exist, or cannot be read as an image.

    Example:
        >>> read_image(np.zeros((30, 20, 3), np.uint8), 8).shape
        (3, 8, 8)
    """
    if isinstance(image, Path):
        pixels = _opened(image, size)
    elif image.shape[:2] == (size, size):
        pixels = image
    else:
        _need_pillow()
        from PIL import Image

        pixels = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _opened(path: Path, size: int) -> Pixels:
    _need_pillow()
    from PIL import Image, ImageOps

    if not is_file(path):
        raise BadValue("image", f"{path}: no such file: check the name and data.images")
    with opened_image(path, f"{path}: cannot be read", "image") as image:
        image.draft("RGB", (2 * size, 2 * size))  # of a large JPEG no more than is wanted
        check_pixels(image, limits.PIXELS, str(path), "image")
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(_opaque(image).resize((size, size), Image.Resampling.BOX))


def _opaque(image: Image) -> Image:
    from PIL import Image

    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    opaque = Image.new("RGB", image.size)
    width, height = image.size
    for top in range(0, height, _STRIP):  # whole, a large image would be in memory five times
        part = image.crop((0, top, width, min(top + _STRIP, height))).convert("RGBA")
        ground = Image.new("RGBA", part.size, "white")
        opaque.paste(Image.alpha_composite(ground, part).convert("RGB"), (0, top))
    return opaque


def _need_pillow() -> None:
    if find_spec("PIL") is None:
        raise ConfigError('images are read by Pillow: pip install "elman[data]"')


def is_file(path: Path) -> bool:
    """Whether a path is a file; one whose name is longer than names can be is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def openmoji(font: Path) -> Iterator[Mapping[str, Any]]:
    """The emoji that a font draws in color, each with its English name of the package emoji.

    A sequence of characters for which the font has no drawing of its own is left out.
    """
    _need_pillow()
    from emoji import EMOJI_DATA, STATUS
    from PIL import Image, ImageDraw, ImageFont

    drawn = ImageFont.truetype(font, _MOJI)
    em = drawn.getlength("\N{GRINNING FACE}")
    for characters, about in EMOJI_DATA.items():
        if about["status"] != STATUS["fully_qualified"] or drawn.getlength(characters) != em:
            continue
        image = Image.new("RGB", (_EM, _EM), "white")
        middle = (_EM / 2, _EM / 2)
        ImageDraw.Draw(image).text(middle, characters, font=drawn, embedded_color=True, anchor="mm")
        yield {
            "image": np.asarray(image),
            "caption": about["en"].strip(":").replace("_", " "),
        }
