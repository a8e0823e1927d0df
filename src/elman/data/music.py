"""Music as piano rolls: which of the 88 keys of a piano sound at each step."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman._errors import DataError
from elman.data import _limits as limits
from elman.data._apart import apart
from elman.data._table import BadRows, BadValue, Record
from elman.data._text import files_in

__all__ = [
    "KEYS",
    "LOWEST",
    "STEPS",
    "Note",
    "Roll",
    "is_music",
    "key_name",
    "notes_of",
    "piano_roll",
    "read_music",
]

KEYS, LOWEST = 88, 21
"""The keys of a piano, and the MIDI number of the lowest, A0; middle C is 60."""

STEPS = {"quarter": 1.0, "eighth": 0.5, "sixteenth": 0.25}
"""The length of a frame, in quarter notes."""

LATE = 1 / 8

READERS = {
    ".mid": "_midi:read_midi",
    ".midi": "_midi:read_midi",
    ".mxl": "_musicxml:read_musicxml",
    ".musicxml": "_musicxml:read_musicxml",
    ".xml": "_musicxml:read_musicxml",
}
PARTS = {"train": "traindata", "valid": "validdata", "test": "testdata"}
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

Roll = NDArray[np.uint8]
"""A piano roll: (frames, keys), 1 where a key sounds."""


class Note(NamedTuple):
    """A note: when it begins and stops, in quarter notes, and its MIDI number."""

    start: float
    stop: float
    pitch: int


def key_name(key: int) -> str:
    """The name of a key of the piano, counted from 0, the lowest.

    >>> key_name(0), key_name(39)
    ('A0', 'C4')
    """
    octave, tone = divmod(key + LOWEST, 12)
    return f"{_NAMES[tone]}{octave - 1}"


def piano_roll(notes: Iterable[Note], step: float) -> Roll:
    """Which keys sound at each frame: 0 and 1 (frames, 88), from the first note to the last.

    A note is in the frames that it sounds in an eighth after their beginning, so that one that is
    played a little late is not lost. Whether a note is held or struck again is not kept.

    Args:
        notes: in any order; those that a piano does not have are left out.
        step: the length of a frame in quarter notes.

    Raises:
        BadValue: there are no notes, or the last one is very far from the first.

    Example:
        >>> roll = piano_roll([Note(0, 2, 60), Note(1, 2, 64)], step=1)
        >>> [[key_name(k) for k in frame.nonzero()[0]] for frame in roll]
        [['C4'], ['C4', 'E4']]
    """
    spans = [
        (_frame(note.start / step), _frame(note.stop / step), note.pitch - LOWEST)
        for note in notes
        if LOWEST <= note.pitch < LOWEST + KEYS
    ]
    spans = [(start, stop, key) for start, stop, key in spans if start < stop]
    if not spans:
        raise BadValue("", "expected notes between A0 and C8 that last a frame, got none")
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    if last - first > limits.FRAMES:
        raise BadValue("", f"expected at most {limits.FRAMES:,} frames, got {last - first:,}")
    roll = np.zeros((last - first, KEYS), np.uint8)
    for start, stop, key in spans:
        roll[start - first : stop - first, key] = 1
    return roll


def _frame(time: float) -> int:
    return math.ceil(time - LATE - 1e-9)


def notes_of(roll: NDArray[Any], step: float) -> list[Note]:
    """The notes of a roll; a key that sounds in frames in a row is one long note.

    >>> notes_of(piano_roll([Note(0, 2, 60)], 0.5), 0.5)
    [Note(start=0.0, stop=2.0, pitch=60)]
    """
    edge = np.zeros((1, roll.shape[1]), np.int8)
    change = np.diff(np.concatenate([edge, roll.astype(np.int8), edge]), axis=0)
    notes = []
    for key in np.unique(change.nonzero()[1]).tolist():
        starts, stops = ((change[:, key] == sign).nonzero()[0] for sign in (1, -1))
        pairs = zip(starts.tolist(), stops.tolist(), strict=True)
        notes += [Note(start * step, stop * step, key + LOWEST) for start, stop in pairs]
    return sorted(notes)


def read_music(path: Path, bad: BadRows) -> Iterator[Record]:
    """The pieces of a file, or of all files in a folder.

    Files are MIDI (``.mid``), MusicXML (``.mxl``, ``.musicxml``, ``.xml``), or sets of rolls
    (``.mat``, with the cells traindata, validdata and testdata of rolls of 88 keys).

    Args:
        path: the file or folder.
        bad: what to do with a file without music.

    Returns:
        Records with the values "piece", a name, and "notes"; from a set "roll" and "split".

    References:
        Boulanger-Lewandowski, Bengio & Vincent 2012, "Modeling temporal dependencies in
        high-dimensional sequences", for the sets.
    """
    for file in files_in(path):
        if file.suffix.lower() == ".mat":
            yield from _read_mat(file, bad)
            continue
        with bad.place(str(file)):
            yield Record(str(file), {"piece": file.stem, "notes": _notes(file)})


def is_music(path: Path) -> bool:
    """Whether `read_music` reads such a file."""
    return path.suffix.lower() in (*READERS, ".mat")


def _notes(file: Path) -> list[Note]:
    if not is_music(file):
        known = ", ".join((*READERS, ".mat"))
        raise BadValue("", f"expected music ({known}), got {file.suffix or 'no suffix'}")
    module, _, name = READERS[file.suffix.lower()].partition(":")
    notes: list[Note] = getattr(import_module(f"elman.data.{module}"), name)(file)
    return notes


def _read_mat(file: Path, bad: BadRows) -> Iterator[Record]:
    cells = _rolls(file)
    if not cells:
        raise DataError(f"{file}: expected {', '.join(PARTS.values())}, got none of them")
    splits = {name: split for split, name in PARTS.items()}
    for place, roll in cells.items():
        name, _, number = place.partition(" ")
        with bad.place(f"{file}, {place}"):
            if roll.dtype.kind == "U":
                raise BadValue("", str(roll))
            yield Record(
                f"{file}, {place}",
                {"piece": f"{name}-{number}", "roll": roll, "split": splits[name]},
            )


def _rolls(file: Path) -> dict[str, NDArray[Any]]:
    """What `elman.data._matlab` makes of a file."""
    if find_spec("scipy") is None:
        raise DataError(f'{file}: needs scipy: pip install "elman[data]"')
    numbers = limits.APART, limits.MATLAB_SECONDS, KEYS, limits.FRAMES
    with apart(file, "_matlab", *numbers, *PARTS.values()) as stream:
        content = stream.read()
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)


def __dir__() -> list[str]:
    return sorted(__all__)
