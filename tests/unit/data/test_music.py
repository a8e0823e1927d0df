"""Music from files: notes and frames, MIDI, MusicXML, sets of rolls, and files that are none."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import mido
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from elman._errors import DataError
from elman.data import BadRows, Note, notes_of, piano_roll, read_music, records, write_midi
from elman.data._midi import MISSING, read_midi, synthesize
from elman.data._musicxml import read_musicxml


def sounding(roll: np.ndarray) -> list[list[int]]:
    return [(frame.nonzero()[0] + 21).tolist() for frame in roll]


def read(path: Path, action: str = "error") -> tuple[list[object], list[str]]:
    bad = BadRows(action)  # type: ignore[arg-type]
    return [record.values for record in read_music(path, bad)], bad.skipped


def test_a_frame_has_the_notes_that_sound_in_it() -> None:
    notes = [Note(4, 6, 60), Note(4.1, 5, 64), Note(4.5, 4.9, 67), Note(7, 8, 60), Note(4, 8, 12)]
    assert sounding(piano_roll(notes, 1)) == [[60, 64], [60], [], [60]]
    assert sounding(piano_roll(notes, 0.5))[:3] == [[60], [60, 64, 67], [60]]


@settings(max_examples=30)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12))
def test_notes_give_the_frames_again(keys: list[list[bool]]) -> None:
    roll = np.zeros((len(keys) + 2, 88), np.uint8)
    roll[0, 10] = roll[-1, 20] = 1  # silence at the ends is no music
    roll[1:-1, 40:43] = keys
    assert (piano_roll(notes_of(roll, 0.25), 0.25) == roll).all()


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ([], "expected notes between A0 and C8"),
        ([Note(0, 1, 10)], "expected notes between A0 and C8"),
        ([Note(0, 0.01, 60)], "expected notes between A0 and C8"),
        ([Note(0, 1, 60), Note(1e9, 1e9 + 1, 60)], "expected at most 100,000 frames"),
    ],
)
def test_no_music(notes: list[Note], message: str) -> None:
    with pytest.raises(DataError, match=message):
        piano_roll(notes, 0.5)


def test_midi_without_drums_and_with_every_way_to_stop(tmp_path: Path) -> None:
    message = mido.Message
    track = mido.MidiTrack(
        [
            message("note_on", note=60, velocity=64, time=0),
            message("note_on", note=38, velocity=64, channel=9, time=0),
            message("note_on", note=60, velocity=0, time=96),
            message("note_on", note=64, velocity=64, time=0),
            message("note_off", note=64, time=48),
            message("note_off", note=65, time=0),
            message("note_on", note=67, velocity=1, time=0),
            mido.MetaMessage("end_of_track", time=48),
        ]
    )
    other = mido.MidiTrack([message("note_on", note=48, velocity=9), message("note_off", note=48)])
    other[1].time = 192
    file = tmp_path / "a.mid"
    mido.MidiFile(ticks_per_beat=96, tracks=[track, other]).save(file)
    found = [(0, 1, 60), (0, 2, 48), (1, 1.5, 64), (1.5, 2, 67)]
    assert sorted(read_midi(file)) == found
    write_midi(tmp_path / "b.mid", read_midi(file))
    assert sorted(read_midi(tmp_path / "b.mid")) == found
    mido.MidiFile(type=2, tracks=[track]).save(file)
    with pytest.raises(DataError, match="MIDI file of type 0 or 1"):
        read_midi(file)


def test_damaged_midi_is_an_error_of_the_data(tmp_path: Path) -> None:
    file, draw = tmp_path / "a.mid", np.random.default_rng(0)
    write_midi(file, [Note(i / 2, i, 40 + i) for i in range(1, 20)])
    whole, refused = file.read_bytes(), 0
    for _ in range(200):
        broken = bytearray(whole[: draw.integers(len(whole))] if draw.random() < 0.3 else whole)
        for at in draw.integers(len(broken), size=3) if broken else ():
            broken[at] = draw.integers(256)
        file.write_bytes(broken)
        try:
            piano_roll(read_midi(file), 0.5)
        except DataError:
            refused += 1
    assert 20 < refused < 200


NOTE = "<note>{more}<pitch><step>{step}</step><octave>{octave}</octave></pitch>{end}</note>"


def note(step: str, octave: int, duration: int, more: str = "") -> str:
    end = f"<duration>{duration}</duration>"
    return NOTE.format(step=step, octave=octave, more=more, end=end)


def score(*parts: list[str]) -> str:
    inner = "".join(
        "<part>" + "".join(f"<measure>{measure}</measure>" for measure in part) + "</part>"
        for part in parts
    )
    return f'<?xml version="1.0"?><score-partwise>{inner}</score-partwise>'


def notes_in(tmp_path: Path, text: str) -> list[Note]:
    file = tmp_path / "a.musicxml"
    file.write_text(text)
    return sorted(read_musicxml(file))


DIVISIONS = "<attributes><divisions>2</divisions></attributes>"


def test_scores_have_chords_voices_rests_and_grace_notes(tmp_path: Path) -> None:
    back, on = (f"<{tag}><duration>2</duration></{tag}>" for tag in ("backup", "forward"))
    measure = [
        DIVISIONS,
        NOTE.format(step="B", octave=2, more="<grace/>", end=""),
        note("C", 4, 2),
        note("E", 4, 2, "<chord/>"),
        back,
        on,
        note("G", 3, 1).replace("</step>", "</step><alter>-1</alter>"),
        "<note><rest/><duration>1</duration></note>",
    ]
    assert notes_in(tmp_path, score(["".join(measure), note("A", 4, 4)])) == [
        (0, 1, 60),
        (0, 1, 64),
        (1, 1.5, 54),
        (2, 4, 69),
    ]


def test_measures_begin_together_and_instruments_transpose(tmp_path: Path) -> None:
    shift = "<attributes><divisions>4</divisions><transpose><chromatic>-2</chromatic>"
    shift += "<octave-change>1</octave-change></transpose></attributes>"
    short, long = [note("C", 4, 1), note("C", 4, 1)], [shift + note("C", 4, 8), note("D", 4, 8)]
    assert notes_in(tmp_path, score(short, long)) == [
        (0, 1, 60),
        (0, 2, 70),
        (2, 3, 60),
        (2, 4, 72),
    ]


def packed(path: Path, text: bytes, named: str = "a.xml") -> Path:
    container = f'<container><rootfiles><rootfile full-path="{named}"/></rootfiles></container>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("a.xml", text)
    return path


BOMB = '<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;">]><score-partwise>&c;</score-partwise>'


def transposed(inside: str) -> str:
    return score([f"<attributes><transpose>{inside}</transpose></attributes>"])


def divided(number: str) -> str:
    return score([f"<attributes><divisions>{number}</divisions></attributes>"])


HUGE = [
    (score([note("C", 4, 1).replace(">4<", f">{number}<")]), "as octave")
    for number in ("1e308", "-1e308", "inf", "9" * 400)
] + [
    (score([note("C", 4, 1).replace(">1<", ">1e308<")]), "number up to 1,000,000 as duration"),
    (transposed("<chromatic>1e308</chromatic>"), "as chromatic, got '1e308'"),
    (transposed("<octave-change>-1e308</octave-change>"), "as octave-change"),
    (divided("1e308"), "as divisions"),
    (divided("1e-320"), "expected divisions above 0"),
]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *HUGE,
        (BOMB, "expected XML without entities of its own, got 'b'"),
        ("<score-timewise/>", "score in parts .*, got 'score-timewise'"),
        ("<score-partwise>", "not well-formed XML"),
        (score(["<attributes><divisions>0</divisions></attributes>"]), "divisions above 0"),
        (score([note("H", 4, 1)]), "expected a step from A to G, got 'H'"),
        (
            score([note("C", 4, 1).replace(">1<", ">nan<")]),
            "expected a number up to 1,000,000 as duration",
        ),
    ],
)
def test_scores_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        notes_in(tmp_path, text)


def test_compressed_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = score([note("C", 4, 1)]).encode()
    assert read_musicxml(packed(tmp_path / "a.mxl", text)) == [(0, 1, 60)]
    with pytest.raises(DataError, match=r"cannot be read: KeyError.*missing.xml"):
        read_musicxml(packed(tmp_path / "a.mxl", text, "missing.xml"))
    monkeypatch.setattr("elman.data._limits.SCORE", 1000)
    with pytest.raises(DataError, match="at most 1,000 bytes"):
        read_musicxml(packed(tmp_path / "a.mxl", b" " * 1001))
    whole = bytearray(packed(tmp_path / "a.mxl", text * 9).read_bytes())
    whole[len(whole) // 2 :] = bytes(len(whole) // 2)
    (tmp_path / "a.mxl").write_bytes(whole)
    with pytest.raises(DataError):
        read_musicxml(tmp_path / "a.mxl")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_scores_are_packed_by_deflate_alone(tmp_path: Path, method: int) -> None:
    """What LZMA raises of damaged bytes is none of the errors of zip files."""
    file = tmp_path / "a.mxl"
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("META-INF/container.xml", "<container/>" * 9)
    whole = file.read_bytes()
    for content in (whole, whole[:70] + bytes(9) + whole[79:]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.mxl: .*container.xml.*by deflate \(8\)"):
            read(file)


def test_a_long_text_in_a_score_is_no_long_tag(tmp_path: Path) -> None:
    picture = f"<image>{'QUJD' * 700_000}</image>"
    assert notes_in(tmp_path, score([picture + note("C", 4, 1)])) == [(0, 1, 60)]


def midi_with(tmp_path: Path, events: bytes) -> Path:
    file = tmp_path / "a.mid"
    track = b"MTrk" + len(events).to_bytes(4, "big") + events
    file.write_bytes(b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 1, 224]) + track)
    return file


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (b"\0\xff\x59\x02\x50\0", "a.mid: not a MIDI file that can be read: KeySignatureError"),
        (b"\0\xff\x59\x02\x50\x07", "KeySignatureError"),
        (b"\xff" * 3000 + b"\x7f\x90\x40\x40\0\x40\0", "at most 1,000,000 quarter notes"),
        (b"\xff" * 9000 + b"\x7f\x90\x40\x40\0\x40\0", "a number without an end"),
        (b"\0\xff\x01\x7f", "not a MIDI file that can be read: EOFError"),
        (b"\0\xff\x51\x01\x07", "not a MIDI file that can be read: IndexError"),
    ],
)
def test_midi_that_is_refused(tmp_path: Path, events: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(midi_with(tmp_path, events))


def cells(*rolls: np.ndarray) -> np.ndarray:
    found = np.empty((1, len(rolls)), object)
    for i, roll in enumerate(rolls):
        found[0, i] = roll
    return found


def test_sets_of_rolls(tmp_path: Path) -> None:
    roll = (np.random.default_rng(0).random((5, 88)) < 0.1).astype(np.uint8)
    file = tmp_path / "set.mat"
    scipy.io.savemat(file, {"traindata": cells(roll, roll[:3]), "testdata": cells(roll * 1.0)})
    found, _ = read(file)
    assert [(v["piece"], v["split"]) for v in found] == [  # type: ignore[index]
        ("traindata-1", "train"),
        ("traindata-2", "train"),
        ("testdata-1", "test"),
    ]
    assert all((v["roll"] == roll[: len(v["roll"])]).all() for v in found)  # type: ignore[index]
    scipy.io.savemat(file, {"traindata": cells(roll[:, :80], roll + 1, roll)})
    found, skipped = read(file, "skip")
    assert len(found) == 1
    assert "traindata 1: expected a roll of 88 keys, got uint8 (5, 80)" in skipped[0]
    assert "traindata 2: expected a roll of 0 and 1" in skipped[1]
    for content, message in (
        (b"no", "not a readable .mat file"),
        (None, "got none of them"),
    ):
        scipy.io.savemat(file, {"other": roll}) if content is None else file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read(file)


@pytest.mark.parametrize(("place", "bit"), [(144, 2), (209, 3), (236, 0)])
def test_a_flipped_bit_that_crashes_scipy_is_an_error_of_the_data(
    tmp_path: Path, place: int, bit: int
) -> None:
    """Its reader ends the process with SIGSEGV, so that it must be another one than ours."""
    roll = (np.random.default_rng(0).random((9, 88)) < 0.1).astype(float)
    file = tmp_path / "set.mat"
    scipy.io.savemat(file, {"traindata": cells(roll, roll[:4]), "testdata": cells(roll)})
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"set\.mat: cannot be read: its reader crashed"):
        read(file)


def test_the_reader_of_sets_has_little_memory_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "set.mat"
    scipy.io.savemat(file, {"traindata": cells(np.zeros((90_000, 88)))}, do_compression=True)
    assert len(read(file)[0]) == 1
    monkeypatch.setattr("elman.data._limits.APART", 1 << 20)
    with pytest.raises(DataError, match=r"set\.mat: .*needs more than 1,048,576 bytes of memory"):
        read(file)
    monkeypatch.undo()
    monkeypatch.setattr("elman.data._limits.FRAMES", 100)
    assert "expected at most 100 frames, got 90,000" in read(file, "skip")[1][0]
    scipy.io.savemat(file, {"traindata": np.zeros((5, 88))})
    assert "expected a cell array of rolls, got float64 (5, 88)" in read(file, "skip")[1][0]


def test_a_defect_of_ours_in_the_reader_of_sets_is_no_error_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scipy.io.savemat(tmp_path / "set.mat", {"traindata": cells(np.zeros((5, 88)))})
    monkeypatch.setattr("elman.data._limits.APART", "no number")
    with pytest.raises(RuntimeError, match="a reader ended with 1"):
        read(tmp_path / "set.mat")


def test_sets_are_read_wherever_the_process_looks_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from the folder that it is in, where a file may be called numpy.py."""
    scipy.io.savemat(tmp_path / "set.mat", {"traindata": cells(np.zeros((5, 88)))})
    (tmp_path / "numpy.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    assert len(read(Path("set.mat"))[0]) == 1


def test_a_folder_with_a_file_that_is_no_music(tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", [Note(0, 1, 60)])
    (tmp_path / "b.txt").write_text("the other one")
    found, skipped = read(tmp_path, "skip")
    assert found == [{"piece": "a", "notes": [(0, 1, 60)]}]
    kinds = ".mid, .midi, .mxl, .musicxml, .xml, .mat"
    assert skipped == [f"{tmp_path / 'b.txt'}: expected music ({kinds}), got .txt"]


def test_the_chorales() -> None:
    first = next(records("chorales", "music")).values
    roll = piano_roll(first["notes"], 1)
    assert first["piece"] == "bwv1.6"
    assert sounding(roll)[:2] == [[53, 57, 60, 65], [52, 55, 60, 67, 72]]
    assert len(roll) == 80


def test_sound(tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", [Note(0, 1, 60)], tempo=240)
    reason = synthesize(tmp_path / "a.mid", tmp_path / "a.wav")
    if reason == MISSING:
        pytest.skip(MISSING)
    assert reason is None
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RIFF"


def test_no_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wave = tmp_path / "a.wav"
    assert synthesize(tmp_path / "a.mid", wave) == MISSING
    broken = tmp_path / "timidity"
    broken.write_text("#!/bin/sh\necho no instruments >&2\nexit 3\n")
    broken.chmod(0o755)
    reason = synthesize(tmp_path / "a.mid", wave)
    assert reason == f"{broken} failed (3): no instruments"
