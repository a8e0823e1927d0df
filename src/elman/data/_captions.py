"""Files that say what is in images: captions, and lists that divide the images."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elman._errors import DataError
from elman.data import _limits as limits
from elman.data._images import is_file
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

FOLDERS = ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset")
"""Where images may be, in the folder of their captions file; the third is Flickr8k's own name."""

_WHOLE = frozenset({"Flickr8k.token.txt"})
"""Of several tables in a folder, what has all captions."""

TEXTS = ("Flickr8k_text", "Flickr8k_Text")
"""Where the captions file and the lists may be, in the folder of the images."""

_LIST = re.compile(r"(?:.*[._-])?(train|dev|valid|val|test)Images\.txt", re.IGNORECASE)
_SPLIT = {"train": "train", "dev": "valid", "valid": "valid", "val": "valid", "test": "test"}
_NUMBERED = re.compile(r"(.+)#\d+\t(.*)")


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

    Lists beside the captions file, ``Flickr_8k.trainImages.txt``, ``Flickr_8k.devImages.txt`` and
    ``Flickr_8k.testImages.txt``, divide the images: a name a line. Where there is a list for
    training, images in no list are left out; else they are for training.

    Args:
        path: the file, or a folder in which it is the only table or is called ``captions`` or
            ``Flickr8k.token.txt``; lists are read where a folder is given.
        bad: what to do with bad rows.
        images: the folder of the image files; unless given, that of the captions file, or in it
            ``Images``, ``images``, ``Flicker8k_Dataset`` (as Flickr8k spells it) or
            ``Flickr8k_Dataset``.
        image: the column of the image's file.
        caption: that of the caption.
        names: the columns of a CSV or TSV file without a header.
        encoding: of the file.

    Returns:
        Records with the values "image", a path, and "captions", a list of texts; and "split",
        "train", "valid" or "test", where a list names the image.

    Raises:
        DataError: no such file, or several; a missing column; a bad row; a list with an image that
            has no caption, or that is in another list.

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
    lists = _lists(file) if path.is_dir() else []
    splits = _splits(lists, records, file, bad)
    whole = any(_split_of(each) == "train" for each in lists)
    for name, (place, values) in records.items():
        if name in splits:
            values = {**values, "split": splits[name]}
        elif whole:
            continue
        yield Record(place, {"image": _place_of(name, file, images), **values})


def _split_of(file: Path) -> str | None:
    """The split that a file lists, by its name; None of any other file."""
    match = _LIST.fullmatch(file.name)
    return _SPLIT[match[1].lower()] if match else None


def _lists(captions: Path) -> list[Path]:
    return sorted(file for file in captions.parent.iterdir() if _split_of(file))


def _splits(
    lists: Sequence[Path], known: Container[str], captions: Path, bad: BadRows
) -> dict[str, str]:
    """The split of each image that a list names."""
    splits: dict[str, tuple[str, str]] = {}
    for file in lists:
        split = _split_of(file) or ""
        with opened_text(file, "utf-8") as stream:
            for number, line in RowLines(stream, file).rows():
                name, place = line.strip(), f"{file}, line {number}"
                if not name:
                    continue
                with bad.place(place):
                    if name not in known:
                        raise BadValue(
                            "",
                            f"expected an image with a caption in {captions}, got "
                            f"{limits.excerpt(name)}",
                        )
                    other, where = splits.setdefault(name, (split, place))
                    if other != split:
                        raise BadValue(
                            "", f"expected an image of one list, got {name}, which is in {where}"
                        )
    return {name: split for name, (split, _) in splits.items()}


def _captions_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    folders = [path, *(path / name for name in TEXTS if (path / name).is_dir())]
    tables = next(filter(None, map(_tables, folders)), [])
    captions = [file for file in tables if file.name.split(".")[0] == "captions"]
    named = captions or [file for file in tables if file.name in _WHOLE] or tables
    if len(named) != 1:
        raise DataError(
            f"{path}: expected one file of captions in this folder, got "
            f"{', '.join(file.name for file in named) or 'none'}: name the file itself"
        )
    return named[0]


def _tables(folder: Path) -> list[Path]:
    """The files of a folder that may hold captions."""
    kinds = {".txt", *TABLE_FORMATS}
    return sorted(f for f in folder.iterdir() if {*f.suffixes} & kinds and not _split_of(f))


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
    roots = [file.parent, *([file.parent.parent] if file.parent.name in TEXTS else ())]
    folders = [images] if images else [root / f for root in roots for f in ("", *FOLDERS)]
    return next((f / name for f in folders if is_file(f / name)), folders[0] / name)
