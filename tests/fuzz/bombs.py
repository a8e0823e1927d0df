"""Files that are small on the disk, or quickly written, and would need far more to be read."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Bomb(NamedTuple):
    """``write`` takes a path and whether the file is to be as large as it was when it did harm."""

    file: str
    reader: str
    write: Callable[[Path, bool], object]
    outcome: str = "refused"


MEGA = 1_000_000


def repeated(head: bytes, part: bytes, small: float, large: float) -> Callable[[Path, bool], None]:
    """The part again and again, up to so many million bytes; compressed where the name says so."""

    def write(path: Path, is_large: bool) -> None:
        block = part * (MEGA // len(part))
        opened: Any = gzip.open if path.suffix == ".gz" else open
        with opened(path, "wb") as file:
            file.write(head)
            for _ in range(round((large if is_large else small) * MEGA / len(block))):
                file.write(block)

    return write


def nested(before: str, opening: str, small: int, large: int) -> Callable[[Path, bool], None]:
    return lambda path, is_large: path.write_text(before + opening * (large if is_large else small))


def compressed_score(
    head: bytes, part: bytes, small: float, large: float
) -> Callable[[Path, bool], None]:
    def write(path: Path, is_large: bool) -> None:
        block = part * (MEGA // len(part))
        container = '<container><rootfiles><rootfile full-path="a.xml"/></rootfiles></container>'
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("META-INF/container.xml", container)
            with archive.open("a.xml", "w", force_zip64=True) as member:
                member.write(head)
                for _ in range(round((large if is_large else small) * MEGA / len(block))):
                    member.write(block)

    return write


def members(path: Path, is_large: bool) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(150_000 if is_large else 5_000):
            archive.writestr(zipfile.ZipInfo(f"{i}"), b"")


def zeros(count: int) -> Iterator[bytes]:
    block = bytes(MEGA)
    for start in range(0, count, MEGA):
        yield block[: count - start]


def matlab(path: Path, is_large: bool) -> None:
    """A MATLAB 5 file with one matrix of zeros, compressed as MATLAB does."""
    frames = 570_000 if is_large else 150_000
    count = frames * 88 * 8
    name = b"traindata".ljust(16, b"\0")
    head = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, frames, 88)
    head += struct.pack("<II", 1, 9) + name + struct.pack("<II", 9, count)
    packer = zlib.compressobj(1)
    parts = [packer.compress(struct.pack("<II", 14, len(head) + count) + head)]
    parts += [packer.compress(block) for block in zeros(count)] + [packer.flush()]
    data = b"".join(parts)
    start = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    path.write_bytes(start + struct.pack("<II", 15, len(data)) + data)


def png(small: int, large: int, kind: int = 2) -> Callable[[Path, bool], None]:
    def write(path: Path, is_large: bool) -> None:
        side = large if is_large else small
        bytes_of_row = side * {2: 3, 6: 4}[kind] + 1
        packer = zlib.compressobj(1)
        data = b"".join(packer.compress(bytes(bytes_of_row)) for _ in range(side)) + packer.flush()
        header = struct.pack(">IIBBBBB", side, side, 8, kind, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
        packed = (
            struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
            for k, d in chunks
        )
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))

    return write


def gif(side: int, small: int, large: int) -> Callable[[Path, bool], None]:
    """Frames of one pixel on a screen so wide."""

    def write(path: Path, is_large: bool) -> None:
        frame = b"\x21\xf9\x04\x00\x01\x00\x00\x00\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        frame += b"\x02\x02\x44\x01\x00"
        screen = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
        path.write_bytes(screen + frame * (large if is_large else small) + b"\x3b")

    return write


def midi(track: Callable[[bool], bytes]) -> Callable[[Path, bool], None]:
    def write(path: Path, is_large: bool) -> None:
        events = track(is_large)
        head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480)
        path.write_bytes(head + b"MTrk" + struct.pack(">I", len(events)) + events)

    return write


def parquet(length: int, copies: int, small: int, large: int) -> Callable[[Path, bool], None]:
    """Rows of a long text, and of many copies of a number, each of which is stored once."""

    def write(path: Path, is_large: bool) -> None:
        import numpy as np
        import pyarrow as pa
        from pyarrow.parquet import write_table

        rows = large if is_large else small
        text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * length])
        starts = pa.array(np.arange(rows + 1) * copies, pa.int32())
        lists = pa.ListArray.from_arrays(starts, pa.array(np.zeros(rows * copies, np.int8)))
        write_table(pa.table({"text": text, "label": lists}), path)

    return write


def json_row(value: str, copies: int, large: int) -> Callable[[Path, bool], None]:
    def write(path: Path, is_large: bool) -> None:
        values = ",".join([value] * (large if is_large else copies))
        path.write_text(f'{{"text": "a", "label": [{values}]}}\n')

    return write


def header(path: Path, is_large: bool) -> None:
    names = ",".join(f"c{i}" for i in range(2 * MEGA if is_large else 150_000))
    path.write_text(f"text,{names}\n")


def npy(path: Path, is_large: bool) -> None:
    head = (
        f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({10**12 if is_large else 10**9},)}}"
    )
    size = struct.pack("<H", len(head) + 1)
    path.write_bytes(b"\x93NUMPY\x01\x00" + size + head.encode() + b"\n" + bytes(100))


def safetensors(path: Path, is_large: bool) -> None:
    size = 1 << (62 if is_large else 40)
    head = json.dumps({"x": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}})
    path.write_bytes(struct.pack("<Q", len(head)) + head.encode())


XML = b"<score-partwise>"

BOMBS: dict[str, Bomb] = {
    "empty tags": Bomb("a.musicxml", "musicxml", repeated(XML, b"<a/>", 9, 64)),
    "empty tags, packed": Bomb("a.mxl", "mxl", compressed_score(XML, b"<a/>", 9, 64)),
    "spaces, packed": Bomb("a.mxl", "mxl", compressed_score(XML, b" " * 64, 70, 1000)),
    "one long tag": Bomb("a.musicxml", "musicxml", repeated(XML + b"<a ", b'b="c" ', 3, 64)),
    "one long comment": Bomb("a.mxl", "mxl", compressed_score(XML + b"<!--", b"a ", 3, 64)),
    "nested tags": Bomb("a.musicxml", "musicxml", nested("", "<score-partwise>", 9_000, 1 << 20)),
    "empty members": Bomb("a.mxl", "mxl", members),
    "zeros of MATLAB": Bomb("a.mat", "mat", matlab),
    "large PNG": Bomb("a.png", "png", png(8_500, 13_000)),
    "largest PNG": Bomb("a.png", "png", png(1_000, 8_100, 6), "read"),
    "wide GIF": Bomb("a.gif", "gif", gif(65_535, 1, 1)),
    "long GIF": Bomb("a.gif", "gif-video", gif(4_000, 40, 3_000)),
    "wide GIF of many frames": Bomb("a.gif", "gif-video", gif(10_000, 2, 100_000)),
    "endless number in MIDI": Bomb(
        "a.mid", "midi", midi(lambda large: b"\xff" * (MEGA if large else 9_000))
    ),
    "late note": Bomb(
        "a.mid", "midi", midi(lambda _: b"\xff" * 4_000 + b"\x7f\x90\x40\x40\1\x40\0")
    ),
    "many events": Bomb(
        "a.mid", "midi", midi(lambda large: b"\0\xc0" + b"\0\1" * (8 * MEGA if large else MEGA))
    ),
    "line of vectors": Bomb("a.vec", "vectors", repeated(b"the ", b"0 ", 3, 50)),
    "line of vectors, packed": Bomb("a.vec.gz", "vectors-gz", repeated(b"the ", b"0 ", 5, 300)),
    "vector of many numbers": Bomb("a.vec", "vectors", nested("the", " 0", 20_000, 500_000)),
    "field": Bomb("a.csv.gz", "csv-gz", repeated(b'text,label\n"', b"x", 6, 300)),
    "fields": Bomb("a.csv.gz", "csv-gz", repeated(b"text,label\n", b"x,", 6, 300)),
    "blank lines": Bomb("a.csv.gz", "csv-gz", repeated(b"text,label\n", b"\n", 6, 300)),
    "rows": Bomb("a.csv.gz", "classify-gz", repeated(b"text,label\n", b"a,b\n", 6, 300)),
    "open quote": Bomb("a.csv", "csv", repeated(b'text,label\n"', b"a,b\n", 17, 90)),
    "columns": Bomb("a.csv", "csv", header),
    "line of JSON": Bomb("a.jsonl.gz", "json-lines-gz", repeated(b'{"text":"', b"a", 6, 300)),
    "nested JSON": Bomb(
        "a.jsonl", "json-lines", nested('{"text": 1, "label": ', "[", 100_000, 9 * MEGA)
    ),
    "nested objects": Bomb("a.jsonl", "json-lines", nested("", '{"text":', 100_000, 2 * MEGA)),
    "lists in JSON": Bomb("a.jsonl", "json-lines", json_row("[]", 100_000, 5 * MEGA), "read"),
    "objects in JSON": Bomb("a.jsonl", "json-lines", json_row("{}", 100_000, 5 * MEGA), "read"),
    "words without labels": Bomb("a.conllu.gz", "conllu-gz", repeated(b"", b"a", 6, 300)),
    "sentence": Bomb("a.txt", "tagged", repeated(b"", b"a b\n", 2, 60)),
    "sentence, packed": Bomb("a.txt.gz", "tagged", repeated(b"", b"a b\n", 6, 300)),
    "text": Bomb("a.txt.gz", "text-gz", repeated(b"", b"a ", 6, 300)),
    "blank text": Bomb("a.txt.gz", "text-gz", repeated(b"", b"\n", 6, 300)),
    "line of a pair": Bomb("a.txt", "parallel-with-itself", repeated(b"", b"ab", 17, 100)),
    "texts in Parquet": Bomb("a.parquet", "parquet", parquet(MEGA, 1, 300, 100_000)),
    "list in Parquet": Bomb("a.parquet", "parquet", parquet(1, 15 * MEGA, 1, 1)),
    "lists in Parquet": Bomb("a.parquet", "parquet", parquet(1, 8 * MEGA, 3, 12)),
    "tokens": Bomb("a.npy", "tokens", npy),
    "tensors": Bomb("a.safetensors", "rows", safetensors),
    "nested vocabulary": Bomb("tokenizer.json", "vocabulary", nested("", '{"model":', 9_000, MEGA)),
}
