"""MIDI files in and out, and their sound where a synthesizer is installed."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from elman._errors import DataError
from elman._files import replacing
from elman.data import _limits as limits
from elman.data._table import BadValue
from elman.data.music import Note

TICKS = 480
DRUMS = 9

SOUND_FONTS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts")

MISSING = "no sound: install fluidsynth and a sound font, or timidity, to hear the piece"

_ENDLESS = re.compile(rb"[\x80-\xff]{4096}")


def _mido() -> Any:
    try:
        import mido
    except ImportError as error:
        raise DataError('MIDI files need mido: pip install "elman[data]"') from error
    return mido


def read_midi(file: Path) -> list[Note]:
    """The notes of a MIDI file, without drums; pedals are ignored.

    Raises:
        BadValue: it is damaged, or counts time in seconds instead of beats.
    """
    mido = _mido()
    from mido.midifiles.meta import KeySignatureError

    content = io.BytesIO(_content(file))
    try:
        midi = mido.MidiFile(file=content)
    except (OSError, EOFError, ValueError, TypeError, LookupError, KeySignatureError) as error:
        raise BadValue("", f"not a MIDI file that can be read: {error!r}") from error
    if midi.ticks_per_beat <= 0 or midi.type == 2:
        raise BadValue("", "expected a MIDI file of type 0 or 1 with time in beats: export it so")
    return [note for track in midi.tracks for note in _notes(track, midi.ticks_per_beat)]


def _content(file: Path) -> bytes:
    """The bytes of a file that mido reads in seconds."""
    try:
        with file.open("rb") as stream:
            content = stream.read(limits.MIDI + 1)
    except OSError as error:
        raise BadValue("", f"cannot be read: {error}") from error
    if len(content) > limits.MIDI:
        raise BadValue(
            "", f"expected a MIDI file of at most {limits.MIDI:,} bytes, got more: split it"
        )
    if _ENDLESS.search(content):  # mido would take them for one number, and slow down with each
        raise BadValue("", "not a MIDI file that can be read: it holds a number without an end")
    return content


def _notes(track: Iterable[Any], ticks: int) -> Iterable[Note]:
    now = 0
    begun: dict[tuple[int, int], list[int]] = defaultdict(list)
    for message in track:
        now += message.time
        if now > ticks * limits.QUARTERS:
            raise BadValue(
                "", f"expected a piece of at most {limits.QUARTERS:,} quarter notes, got more"
            )
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        sounding = begun[message.channel, message.note]
        if message.type == "note_on" and message.velocity:
            sounding.append(now)
        elif sounding:
            yield Note(sounding.pop(0) / ticks, now / ticks, message.note)
    for (_, pitch), starts in begun.items():  # never let go: until the track ends
        yield from (Note(start / ticks, now / ticks, pitch) for start in starts)


def write_midi(path: Path, notes: Iterable[Note], tempo: float = 84) -> None:
    """Write notes as a MIDI file for a piano.

    Args:
        path: the file, which is replaced as a whole.
        notes: in quarter notes.
        tempo: quarter notes a minute.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "a.mid")
        >>> write_midi(file, [Note(0, 1.5, 60), Note(1, 1.5, 64)])
        >>> sorted(read_midi(file))
        [Note(start=0.0, stop=1.5, pitch=60), Note(start=1.0, stop=1.5, pitch=64)]
    """
    mido = _mido()
    events = []  # at one time, what stops comes before what begins
    for note in notes:
        events.append((round(note.start * TICKS), 1, note.pitch))
        events.append((round(note.stop * TICKS), 0, note.pitch))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
    before = 0
    for now, on, pitch in sorted(events):
        kind = "note_on" if on else "note_off"
        track.append(mido.Message(kind, note=pitch, velocity=80 * on, time=now - before))
        before = now
    midi = mido.MidiFile(ticks_per_beat=TICKS, tracks=[track])
    with replacing(path) as file:
        midi.save(file=file)


def synthesize(midi: Path, wave: Path) -> str | None:
    """Write the sound of a MIDI file as a WAV file, with fluidsynth or timidity.

    Returns:
        None, or why there is no sound.
    """
    command = _synthesizer(midi, wave)
    if command is None:
        return MISSING
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not wave.is_file():
        output = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        return f"{command[0]} failed ({done.returncode}): {output[-1]}"
    return None


def _synthesizer(midi: Path, wave: Path) -> list[str] | None:
    """The command that plays a file into another."""
    files = (str(midi.resolve()), str(wave.resolve()))
    fluidsynth, timidity = shutil.which("fluidsynth"), shutil.which("timidity")
    fonts = [font for folder in SOUND_FONTS for font in sorted(Path(folder).glob("*.sf[23]"))]
    if fluidsynth and fonts:
        return [fluidsynth, "-ni", "-F", files[1], "-r", "44100", str(fonts[0]), files[0]]
    return [timidity, files[0], "-Ow", "-o", files[1]] if timidity else None
