"""MusicXML, plain or compressed, read directly: a zip archive and XML."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, NamedTuple, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from elman.data import _limits as limits
from elman.data._table import BadValue
from elman.data.music import Note

_BLOCK = 1 << 16

TONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


class Measure(NamedTuple):
    """The notes of a measure in one part, from its beginning, and its length."""

    notes: list[Note]
    length: float


def read_musicxml(file: Path) -> list[Note]:
    """The notes of a score, as they are written: repeats are not played twice.

    A measure is as long as it is in the part where it is longest. Grace notes, which take no time,
    are left out.

    Raises:
        BadValue: it is not a score in parts, is damaged, or defines XML entities, which let a small
            file expand without bounds.

    References:
        https://www.w3.org/2021/06/musicxml40/
    """
    try:
        score = _unpacked(file) if zipfile.is_zipfile(file) else _plain(file)
    except (
        OSError,
        zipfile.BadZipFile,
        RuntimeError,
        LookupError,
        EOFError,
        zlib.error,
        struct.error,
        ValueError,
        OverflowError,
    ) as error:
        if isinstance(error, BadValue):
            raise
        raise BadValue("", f"cannot be read: {error!r}") from error
    if score.tag != "score-partwise":
        raise BadValue("", f"expected a score in parts (score-partwise), got {score.tag!r}")
    parts = [list(_measures(part)) for part in score.findall("part")]
    notes, start = [], 0.0
    for column in zip_longest(*parts, fillvalue=Measure([], 0.0)):
        notes += [Note(start + a, start + b, pitch) for m in column for a, b, pitch in m.notes]
        start += max(measure.length for measure in column)
    return notes


def parsed_xml(stream: IO[bytes]) -> Element:
    """An XML document as a tree; entities are refused, and files outside are never fetched.

    Raises:
        BadValue: it is not well-formed, defines an entity, or is larger, deeper or of more tags
            than a score.

    >>> import io
    >>> parsed_xml(io.BytesIO(b"<a><b>1</b></a>")).findtext("b")
    '1'
    """
    parser, tree = expat.ParserCreate(), _Tree()
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    parser.EntityDeclHandler = lambda name, *_: _refuse(name)
    size = 0
    try:
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > limits.SCORE:
                raise BadValue("", f"expected a score of at most {limits.SCORE:,} bytes, got more")
            parser.Parse(block, False)
            if size - parser.CurrentByteIndex > limits.TAG:
                raise BadValue("", f"expected a tag of at most {limits.TAG:,} bytes, got more")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise BadValue("", f"not well-formed XML: {error}") from error
    return tree.close()


class _Tree(TreeBuilder):
    """Counts tags, attributes and depth, and refuses too many."""

    tags = depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> Element:
        self.tags += 1 + len(attributes)
        self.depth += 1
        if self.tags > limits.TAGS:
            raise BadValue("", f"expected a score of at most {limits.TAGS:,} tags, got more")
        if self.depth > limits.DEPTH:
            raise BadValue("", f"expected tags at most {limits.DEPTH} deep, got deeper")
        return super().start(tag, attributes)

    def end(self, tag: str) -> Element:
        self.depth -= 1
        return super().end(tag)


def _refuse(name: str) -> NoReturn:
    raise BadValue("", f"expected XML without entities of its own, got {name!r}")


def _plain(file: Path) -> Element:
    with file.open("rb") as stream:
        return parsed_xml(stream)


def _unpacked(file: Path) -> Element:
    """The score in an archive: the first that its table of contents names."""
    if file.stat().st_size > limits.ARCHIVE:
        raise BadValue("", f"expected an archive of at most {limits.ARCHIVE:,} bytes, got more")
    with zipfile.ZipFile(file) as archive:
        container = _member(archive, "META-INF/container.xml")
        root = next(container.iter("rootfile"), None)
        if root is None:
            raise BadValue("", "expected a score named in META-INF/container.xml, got none")
        return _member(archive, root.get("full-path", ""))


def _member(archive: zipfile.ZipFile, name: str) -> Element:
    method = archive.getinfo(name).compress_type
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadValue("", f"expected {name!r} compressed by deflate (8), got method {method}")
    with archive.open(name) as member:
        return parsed_xml(member)


def _measures(part: Element) -> Iterator[Measure]:
    divisions, shift = 1.0, 0
    for measure in part.findall("measure"):
        notes: list[Note] = []
        start = now = length = 0.0
        for item in measure:
            duration = _number(item, "duration", 0) / divisions
            match item.tag:
                case "attributes":
                    divisions = _number(item, "divisions", divisions)
                    if divisions < 1 / limits.SCORE_NUMBER:
                        raise BadValue("", f"expected divisions above 0, got {divisions}")
                    shift = _shift(item, shift)
                case "backup":
                    now -= duration
                case "forward":
                    now += duration
                case "note":
                    if item.find("chord") is None:
                        start, now = now, now + duration
                    if (pitch := item.find("pitch")) is not None and duration > 0:
                        notes.append(Note(start, start + duration, _pitch(pitch) + shift))
            length = max(length, now)
        yield Measure(notes, length)


def _shift(attributes: Element, before: int) -> int:
    """Semitones from written to sounding pitch, for transposing instruments."""
    transpose = attributes.find("transpose")
    if transpose is None:
        return before
    return round(_number(transpose, "chromatic", 0) + 12 * _number(transpose, "octave-change", 0))


def _pitch(pitch: Element) -> int:
    step = pitch.findtext("step", "").strip()
    if step not in TONES:
        raise BadValue("", f"expected a step from A to G, got {limits.excerpt(step)}")
    octave, alter = _number(pitch, "octave", 4), _number(pitch, "alter", 0)
    return round(12 * (octave + 1) + TONES[step] + alter)


def _number(element: Element, tag: str, default: float) -> float:
    text = element.findtext(tag)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= limits.SCORE_NUMBER:
        raise BadValue(
            "",
            f"expected a number up to {limits.SCORE_NUMBER:,.0f} as {tag}, "
            f"got {limits.excerpt(text)}",
        )
    return number
