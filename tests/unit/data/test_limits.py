"""What a reader takes in at most: the page has the same numbers, and each error says what to do."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from elman._errors import ConfigError, DataError, nearest
from elman.data import (
    BadRows,
    TextSource,
    read_image,
    read_music,
    read_parallel,
    read_table,
    read_tagged,
    read_vectors,
    read_videos,
)
from elman.data import _limits as limits

PAGE = Path(__file__).parents[3] / "docs" / "data.md"


def test_the_page_has_every_limit() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| ([\d,]+) ", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    numbers = {name: int(number.replace(",", "")) for name, number in rows}
    ours = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert numbers == ours


def table(path: Path, bad: BadRows) -> Any:
    return list(read_table(path, ["text"], bad))


def csv(text: str, name: str = "a.csv") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        content = text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def parquet(folder: Path) -> Path:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.table({"text": ["x" * 300] * 50, "steps": [[0] * 9] * 50}), folder / "a.parquet")
    return folder / "a.parquet"


def picture(folder: Path) -> Path:
    Image.new("RGB", (30, 20)).save(folder / "a.png")
    return folder / "a.png"


def video(folder: Path) -> Path:
    frames = [Image.new("L", (30, 20), 60 * i) for i in range(4)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    return folder / "a.gif"


def film(folder: Path) -> Path:
    import av

    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for i in range(5):
            image = Image.new("RGB", (32, 32), (40 * i, 0, 0))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return folder / "a.mp4"


def score(inside: str) -> Callable[[Path], Path]:
    return csv(f"<score-partwise>{inside}</score-partwise>", "a.musicxml")


def midi(folder: Path) -> Path:
    from elman.data import Note, write_midi

    write_midi(folder / "a.mid", [Note(0, 9, 60)])
    return folder / "a.mid"


def music(path: Path, bad: BadRows) -> Any:
    return list(read_music(path, bad))


def image(path: Path, bad: BadRows) -> Any:
    return read_image(path, 4)


def videos(path: Path, bad: BadRows) -> Any:
    return list(read_videos(path, 4, bad, located=False))


def text(path: Path, bad: BadRows) -> Any:
    return list(TextSource(path))


def vectors(path: Path, bad: BadRows) -> Any:
    return read_vectors(path, ["the"])


def tagged(path: Path, bad: BadRows) -> Any:
    return list(read_tagged(path, bad))


def parallel(path: Path, bad: BadRows) -> Any:
    return list(read_parallel(path, path, ("a", "b"), bad))


WIDE = "text," + ",".join(f"c{i}" for i in range(30)) + "\n"
DEEP = '{"text": ' + "[" * 9 + "1" + "]" * 9 + "}\n"
CASES: list[tuple[dict[str, int], Callable[[Path], Path], Callable[[Path, BadRows], Any], str]] = [
    (
        {"ROW": 50},
        csv("text\n" + "x" * 60),
        table,
        "line 2: expected a row",
    ),
    ({"ROW": 50}, csv("text\n" + "x" * 60, "a.tsv"), table, "line 2: expected a row"),
    (
        {"ROW": 50},
        csv('text\nok\n"' + "x\n" * 40),
        table,
        "line 3: expected a row .* close an open quote",
    ),
    (
        {"ROW": 50},
        csv('{"text": "%s"}' % ("x" * 60), "a.jsonl"),
        table,
        "line 1: expected a row of at",
    ),
    (
        {"ROW": 50},
        csv("the\tX\n" + "a" * 60, "a.txt"),
        tagged,
        "line 2: expected a row of at most 50",
    ),
    (
        {"ROW": 50},
        csv("the\n" + "a" * 60, "a.txt"),
        parallel,
        "line 2: expected a row of at most 50",
    ),
    ({"COLUMNS": 20}, csv(WIDE), table, "expected at most 20 columns, got 31: remove"),
    ({"DEPTH": 8}, csv(DEEP, "a.jsonl"), table, "line 1: expected lists or objects at most 8 deep"),
    (
        {"SENTENCE": 9},
        csv("a\tX\n" * 12, "a.txt"),
        tagged,
        "line 1: expected a sentence of at most 9 lines",
    ),
    ({"LINE_OF_VECTOR": 9}, csv("the 1 2 3 4 5 6", "a.vec"), vectors, "line 1: .* at most 9 bytes"),
    ({"COMPONENTS": 3}, csv("the 1 2 3 4", "a.vec"), vectors, "line 1: .* at most 3 numbers"),
    ({"UNPACKED": 99}, csv("text\n" + "a\n" * 9999, "a.csv.gz"), table, "unpacks to .*gunzip"),
    ({"UNPACKED": 99}, csv("the cat\n" * 9999, "a.txt.gz"), text, "more than 200 times its size"),
    ({"UNPACKED": 99}, csv("the 1\n" * 9999, "a.vec.gz"), vectors, "unpacks to .*gunzip"),
    (
        {"PARQUET": 99, "RATIO": 1},
        parquet,
        table,
        "unpacks to more than 1 times its size",
    ),
    ({"BATCH": 299}, parquet, table, "row 1 has more than 299 bytes .break it"),
    ({"PIXELS": 599}, picture, image, "a.png: expected at most 599 pixels, got 30 x 20"),
    ({"FRAME": 599}, video, videos, "expected at most 599 pixels, got 30 x 20"),
    ({"VIDEO": 700}, video, videos, "more than 2 frames of 30 x 20: cut it into several"),
    ({"ANIMATION": 1500}, video, videos, "more than 2 frames of 30 x 20"),
    ({"DECODED": 2048, "DECODED_RATIO": 0}, film, videos, "more than 2 frames of 32 x 32"),
    ({"MIDI": 20}, midi, music, "at most 20 bytes, got more: split"),
    ({"QUARTERS": 8}, midi, music, "a piece of at most 8 quarter notes"),
    ({"SCORE": 50}, score(" " * 60), music, "a score of at most 50 bytes"),
    ({"TAGS": 9}, score("<a/>" * 12), music, "a score of at most 9 tags"),
    ({"TAGS": 9}, score("<a a='' b='' c='' d='' e='' f='' g='' h='' i=''/>"), music, "9 tags"),
    ({"TAG": 50}, score("<!--" + "a" * 60), music, "a tag of at most 50 bytes"),
    ({"DEPTH": 8}, score("<a>" * 9 + "</a>" * 9), music, "tags at most 8 deep"),
]


@pytest.mark.parametrize(
    ("smaller", "write", "read", "message"),
    CASES,
    ids=[f"{n}-{min(case[0])}" for n, case in enumerate(CASES)],
)
def test_a_limit_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    smaller: dict[str, int],
    write: Callable[[Path], Path],
    read: Callable[[Path, BadRows], Any],
    message: str,
) -> None:
    """Without the smaller limit the same file fails otherwise, or not at all."""
    path = write(tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in smaller.items():
            patched.setattr(limits, name, value)
        with pytest.raises(DataError, match=message) as caught:
            read(path, BadRows())
    assert path.name in str(caught.value)
    with suppress(DataError):
        read(path, BadRows())
        return
    with pytest.raises(DataError) as caught:
        read(path, BadRows())
    assert not re.search(message, str(caught.value))


def test_a_long_row_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a row of that length is not known to begin a row."""
    monkeypatch.setattr(limits, "ROW", 50)
    path = csv("text\n" + "x" * 60 + "\nok\n")(tmp_path)
    with pytest.raises(DataError, match="line 2"):
        table(path, BadRows("skip"))


def test_rows_are_counted_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROW", 50)
    path = csv("text\n" + '"a\nb"\n' * 99)(tmp_path)
    assert len(table(path, BadRows())) == 99


@pytest.mark.slow
def test_a_row_may_be_long_and_a_table_large(tmp_path: Path) -> None:
    path = csv("text,label\n" + "a " * 2_000_000 + ",1\n" + "b,0\n" * 200_000)(tmp_path)
    assert sum(1 for _ in read_table(path, ["text", "label"], BadRows())) == 200_001
    path = csv("\n".join(f'{{"text": [[{i}, 1], [2, 3]]}}' for i in range(50_000)), "a.jsonl")(
        tmp_path
    )
    assert sum(1 for _ in read_table(path, ["text"], BadRows())) == 50_000


def test_compressed_text_of_the_usual_kind_is_read(tmp_path: Path) -> None:
    """A log, in which much is repeated, packs to a fiftieth."""
    lines = "".join(
        f"2020-01-01 00:{i % 60:02}:00 INFO worker {i} is ready\n" for i in range(99_999)
    )
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(lines.encode()))
    assert len(lines) > limits.UNPACKED
    assert sum(1 for _ in TextSource(path)) == 99_999


def test_parquet_in_pieces_has_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path)
    whole = [record.values for record in table(path, BadRows())]
    monkeypatch.setattr(limits, "BATCH", 5_000)
    records = table(path, BadRows())
    assert [record.values for record in records] == whole
    assert [record.place for record in records] == [f"{path}, row {i}" for i in range(1, 51)]


def test_an_image_in_strips_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 40, 4)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = read_image(tmp_path / "a.png", 20)
    monkeypatch.setattr("elman.data._images._STRIP", 7)
    assert (read_image(tmp_path / "a.png", 20) == whole).all()


def test_a_program_is_never_started_for_an_image(tmp_path: Path) -> None:
    """PostScript would be handed to Ghostscript, whatever the file is called."""
    path = tmp_path / "a.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(DataError, match="cannot identify image file"):
        read_image(path, 4)


def test_messages_name_some_of_many_choices() -> None:
    message = nearest("c17x", [f"c{i}" for i in range(1000)])
    assert message.startswith("did you mean 'c17'")
    assert message.endswith("c99 and 900 more")
    assert len(nearest("a", ["b" * 9999])) < 200


@pytest.mark.parametrize("encoding", ["hex", "rot13", "no-such", "a\0b"])
def test_what_is_no_encoding_of_text(tmp_path: Path, encoding: str) -> None:
    path = csv("text\na\n")(tmp_path)
    with pytest.raises(ConfigError, match="encoding"):
        list(read_table(path, ["text"], BadRows(), encoding=encoding))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.tsv"])
def test_half_a_character_of_utf_16_is_an_error_of_the_data(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes("text\n\u4e2d\n".encode("utf-16") + b"\x00\xd8\x41")
    with pytest.raises(DataError, match=rf"{name}: not utf-16: .*name the file's encoding"):
        list(read_table(path, ["text"], BadRows("skip"), encoding="utf-16"))
