"""MusicXML, plain or compressed, read directly: a zip archive and XML."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from elman.data._music import Note
from elman.data._table import BadValue

LARGEST = 1 << 26
"""Bytes of a score, unpacked."""

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
        BadValue: it is no score in parts, is damaged, or defines entities of its own, with which a
            small file can grow without bounds.

    References:
        https://www.w3.org/2021/06/musicxml40/
    """
    try:
        packed = zipfile.is_zipfile(file)
        score = parsed_xml(_unpacked(file) if packed else _limited(file.read_bytes()))
    except (OSError, zipfile.BadZipFile, RuntimeError, LookupError, EOFError, zlib.error) as error:
        raise BadValue("", f"cannot be read: {error!r}") from error
    if score.tag != "score-partwise":
        raise BadValue("", f"a score in parts (score-partwise) was expected, got {score.tag!r}")
    parts = [list(_measures(part)) for part in score.findall("part")]
    notes, start = [], 0.0
    for column in zip_longest(*parts, fillvalue=Measure([], 0.0)):
        notes += [Note(start + a, start + b, pitch) for m in column for a, b, pitch in m.notes]
        start += max(measure.length for measure in column)
    return notes


def parsed_xml(text: bytes) -> Element:
    """An XML document as a tree; entities are refused, and files outside are never fetched.

    Raises:
        BadValue: it is not well-formed, or defines an entity.

    >>> parsed_xml(b"<a><b>1</b></a>").findtext("b")
    '1'
    """
    parser, tree = expat.ParserCreate(), TreeBuilder()
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    parser.EntityDeclHandler = lambda name, *_: _refuse(name)
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise BadValue("", f"not well-formed XML: {error}") from error
    return tree.close()


def _refuse(name: str) -> NoReturn:
    raise BadValue("", f"XML without entities of its own was expected, got {name!r}")


def _unpacked(file: Path) -> bytes:
    """The score in an archive: the first that its table of contents names."""
    with zipfile.ZipFile(file) as archive:
        container = parsed_xml(_member(archive, "META-INF/container.xml"))
        root = next(container.iter("rootfile"), None)
        if root is None:
            raise BadValue("", "no score: its META-INF/container.xml names none")
        return _member(archive, root.get("full-path", ""))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        return _limited(member.read(LARGEST + 1))


def _limited(text: bytes) -> bytes:
    if len(text) > LARGEST:
        raise BadValue("", f"a score of at most {LARGEST:,} bytes was expected")
    return text


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
                    if divisions <= 0:
                        raise BadValue("", f"divisions above 0 were expected, got {divisions}")
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
    """Semitones from what is written to what sounds, of instruments that transpose."""
    found = attributes.find("transpose")
    if found is None:
        return before
    return round(_number(found, "chromatic", 0) + 12 * _number(found, "octave-change", 0))


def _pitch(pitch: Element) -> int:
    step = pitch.findtext("step", "").strip()
    if step not in TONES:
        raise BadValue("", f"a step from A to G was expected, got {step!r}")
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
    if not math.isfinite(number):
        raise BadValue("", f"a number was expected as {tag}, got {text!r}")
    return number
