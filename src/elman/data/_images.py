"""Images with captions: files that Pillow reads, files that say what is on them, and a font's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman._errors import ConfigError, DataError
from elman.data import _limits as limits
from elman.data._pillow import check_pixels, opened_image
from elman.data._table import (
    TABLE_FORMATS,
    BadRows,
    BadValue,
    ReadOptions,
    Record,
    RowLines,
    check_field,
    opened_text,
    read_table,
)

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
"""An image: (height, width) or (height, width, channels), as bytes."""

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""The ends of the names of image files."""

FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset")
"""Where images may be, in the folder of their captions file; the third is Flickr8k's own name."""

_WHOLE = frozenset({"Flickr8k.token.txt"})
"""Of several tables in a folder, what has all captions."""

_NUMBERED = re.compile(r"(.+)#\d+\t(.*)")
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

    if not _is_file(path):
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


def read_captions(
    path: Path,
    bad: BadRows,
    *,
    images: Path | None = None,
    image: str = "image",
    caption: str = "caption",
    names: Sequence[str] = (),
    encoding: str = "utf-8",
) -> Iterator[Record]:
    r"""The images of a captions file, in order, each with all its captions.

    A table of any kind that `read_table` takes has a row for each caption: the image's file and the
    text. The two layouts of Flickr8k are known by their first line: ``dog.jpg#0``, a tab and the
    text, or the header ``image,caption`` in a file called ``.txt``.

    Args:
        path: the file, or a folder in which it is the only table or is called ``captions`` or
            ``Flickr8k.token.txt``.
        bad: what to do with bad rows.
        images: the folder of the image files; unless given, that of the captions file, or in it
            ``Images``, ``images``, ``Flicker8k_Dataset`` (as Flickr8k spells it) or
            ``Flickr8k_Dataset``.
        image: the column of the image's file.
        caption: that of the caption.
        names: the columns of a CSV or TSV file without a header.
        encoding: of the file.

    Returns:
        Records with the values "image", a path, and "captions", a list of texts.

    Raises:
        DataError: no such file, or several; a missing column; a bad row.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "captions.txt")
        >>> _ = file.write_text("dog.jpg#0\ta dog\ndog.jpg#1\ta black dog\n")
        >>> [record.values["captions"] for record in read_captions(file, BadRows())]
        [['a dog', 'a black dog']]

    References:
        Hodosh, Young & Hockenmaier 2013, "Framing image description as a ranking task".
    """
    file = _captions_file(path)
    options = ReadOptions((image, caption), bad, names, encoding)
    records: dict[str, Record] = {}
    for place, values in _captions(file, options):
        with bad.place(place):
            name, texts = _text(values, image), values[caption]
            for text in texts if isinstance(texts, list) else [_text(values, caption)]:
                record = records.setdefault(name, Record(place, {"captions": []}))
                record.values["captions"].append(text)
    for name, (place, values) in records.items():
        yield Record(place, {"image": _place_of(name, file, images), **values})


def _captions_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    tables = sorted(f for f in path.iterdir() if set(f.suffixes) & {".txt", *TABLE_FORMATS})
    captions = [file for file in tables if file.name.split(".")[0] == "captions"]
    named = captions or [file for file in tables if file.name in _WHOLE] or tables
    if len(named) != 1:
        raise DataError(
            f"{path}: expected one file of captions in this folder, got "
            f"{', '.join(file.name for file in named) or 'none'}: name the file itself"
        )
    return named[0]


def _captions(file: Path, options: ReadOptions) -> Iterator[Record]:
    if file.suffix != ".txt":
        yield from read_table(
            file, options.required, options.bad, names=options.names, encoding=options.encoding
        )
        return
    if not file.is_file():
        raise DataError(f"{file}: no such file or folder: check the path")
    with opened_text(file, options.encoding) as stream:
        numbered = _NUMBERED.fullmatch(next(RowLines(stream, file), "").rstrip("\r\n"))
    yield from _numbered(file, options) if numbered else TABLE_FORMATS[".csv"](file, options)


def _numbered(file: Path, options: ReadOptions) -> Iterator[Record]:
    r"""Lines such as "dog.jpg#0\ta dog"."""
    with opened_text(file, options.encoding) as stream:
        for number, line in RowLines(stream, file).rows():
            if line.isspace():
                continue
            place = f"{file}, line {number}"
            with options.bad.place(place):
                check_field("", line, options.encoding)
                match = _NUMBERED.fullmatch(line.rstrip("\r\n"))
                if not match:
                    raise BadValue(
                        "",
                        f"expected NAME#NUMBER, a tab and a text, got {limits.excerpt(line)}",
                    )
                yield Record(place, dict(zip(options.required, match.groups(), strict=True)))


def _text(values: Mapping[str, Any], column: str) -> str:
    value = values[column]
    if not isinstance(value, str) or not value.strip():
        raise BadValue(
            column, "expected a text, got " + (limits.excerpt(value) if value else "none")
        )
    return value.strip()


def _place_of(name: str, file: Path, images: Path | None) -> Path:
    folders = [images] if images else [file.parent, *(file.parent / f for f in FOLDERS)]
    return next((f / name for f in folders if _is_file(f / name)), folders[0] / name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is longer than names can be
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
