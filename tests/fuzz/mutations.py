"""Files that are a little wrong: one draw of random numbers damages one copy of a sound file."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

Mutation = Callable[[bytes, Random], bytes]

NUMBERS = (
    b"0", b"-1", b"1e308", b"-1e308", b"1e-320", b"nan", b"inf", b"-inf", b"1" + b"0" * 400,
    b"9" * 5000, b"99999999999999999999", b"0x10", b"1_0", b"1e999", b"4294967296", b".",
)  # fmt: skip
TOKENS = (
    b'"', b"'", b"\t", b"\0", b"\r", b"\n\n", b",", b"{", b"}", b"[", b"]", b"\\u0000", b"\\ud800",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xff", b"=cmd()", b"null", b"true", b"# ",
    "é\u2028\U0001f600".encode(),
)  # fmt: skip
NESTS = (b"[", b'{"a":', b"<a>", b'"', b"(", b"\x80", b"\xff")


def damaged(content: bytes, shape: str, draw: Random) -> bytes:
    """A copy with one to three faults; ``shape`` says what else than bytes there is to damage."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        content = draw.choice(SHAPES[shape])(content, draw)
    return content


def place(content: bytes, draw: Random) -> int:
    return draw.randrange(len(content) + 1)


def span(content: bytes, draw: Random) -> tuple[int, int]:
    start = place(content, draw)
    return start, min(len(content), start + draw.choice((1, 2, 4, 8, 64, 1024)))


def flip_bit(content: bytes, draw: Random) -> bytes:
    if not content:
        return b"\1"
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flip_early_bit(content: bytes, draw: Random) -> bytes:
    """Headers are where sizes are."""
    return flip_bit(content[:256], draw) + content[256:]


def set_number(content: bytes, draw: Random) -> bytes:
    size, letter = draw.choice(((1, "b"), (2, "h"), (4, "i"), (8, "q")))
    number = draw.choice((0, 1, -1, -2, 1 << (8 * size - 2), -(1 << (8 * size - 1))))
    start = place(content, draw)
    return (
        content[:start] + struct.pack(draw.choice("<>") + letter, number) + content[start + size :]
    )


def delete(content: bytes, draw: Random) -> bytes:
    start, stop = span(content, draw)
    return content[:start] + content[stop:]


def insert(content: bytes, draw: Random) -> bytes:
    start = place(content, draw)
    return content[:start] + draw.randbytes(draw.choice((1, 3, 16, 300))) + content[start:]


def repeat(content: bytes, draw: Random) -> bytes:
    start, stop = span(content, draw)
    return content[:stop] + content[start:stop] * draw.choice((1, 2, 50)) + content[stop:]


def truncate(content: bytes, draw: Random) -> bytes:
    return content[: place(content, draw)]


def splice(content: bytes, draw: Random) -> bytes:
    """A part of itself where another was."""
    start, stop = span(content, draw)
    return content[: place(content, draw)] + content[start:stop] + content[place(content, draw) :]


def blank(content: bytes, draw: Random) -> bytes:
    start, stop = span(content, draw)
    return content[:start] + draw.choice((b"\0", b"\xff")) * (stop - start) + content[stop:]


def nest(content: bytes, draw: Random) -> bytes:
    start = place(content, draw)
    return (
        content[:start]
        + draw.choice(NESTS) * draw.choice((3, 70, 2_000, 100_000))
        + content[start:]
    )


def lengthen(content: bytes, draw: Random) -> bytes:
    """A line or field of up to a million bytes."""
    start = place(content, draw)
    more = draw.choice((b"x", b"a ", b"0,", b"1 ", b"\n", b'""'))
    return content[:start] + more * draw.choice((1_000, 30_000, 500_000)) + content[start:]


def change_number(content: bytes, draw: Random) -> bytes:
    """A number of the text is another one."""
    digits = [i for i, byte in enumerate(content) if 48 <= byte < 58]
    start = draw.choice(digits) if digits else place(content, draw)
    return content[:start] + draw.choice(NUMBERS) + content[start + 1 :]


def add_token(content: bytes, draw: Random) -> bytes:
    start = place(content, draw)
    return content[:start] + draw.choice(TOKENS) + content[start:]


def mix_lines(content: bytes, draw: Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b"\n"]
    line = draw.choice(lines)
    draw.choice((lines.remove, lines.append))(line)
    return b"".join(lines)


def within_gzip(content: bytes, draw: Random) -> bytes:
    try:
        inside = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return flip_bit(content, draw)
    return gzip.compress(draw.choice(SHAPES["text"])(inside, draw), mtime=0)


UNPACKABLE = (
    zipfile.BadZipFile, OSError, EOFError, RuntimeError, LookupError, ValueError, zlib.error,
    lzma.LZMAError, struct.error,
)  # fmt: skip


def within_zip(content: bytes, draw: Random) -> bytes:
    """One member is damaged, or all are packed by another method."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except UNPACKABLE:  # damaged before
        return flip_bit(content, draw)
    if not members:
        return content
    name = draw.choice(sorted(members))
    members[name] = draw.choice(SHAPES["text"])(members[name], draw)
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", draw.choice(methods)) as archive:
        for each, inside in members.items():
            archive.writestr(zipfile.ZipInfo(each), inside, archive.compression)
    return packed.getvalue()


def within_png(content: bytes, draw: Random) -> bytes:
    """One chunk is damaged, and its checksum is right."""
    chunks, start = [], 8
    while start + 12 <= len(content):
        (size,) = struct.unpack(">I", content[start : start + 4])
        chunks.append((content[start + 4 : start + 8], content[start + 8 : start + 8 + size]))
        start += 12 + size
    if not chunks:
        return flip_bit(content, draw)
    number = draw.randrange(len(chunks))
    chunks[number] = chunks[number][0], draw.choice(SHAPES["bytes"])(chunks[number][1], draw)
    parts = [content[:8]]
    for kind, data in chunks:
        parts += [
            struct.pack(">I", len(data)),
            kind,
            data,
            struct.pack(">I", zlib.crc32(kind + data)),
        ]
    return b"".join(parts)


def within_mat(content: bytes, draw: Random) -> bytes:
    """What a compressed element of a MATLAB 5 file unpacks to is damaged."""
    parts, start = [content[:128]], 128
    while start + 8 <= len(content):
        kind, size = struct.unpack("<II", content[start : start + 8])
        data = content[start + 8 : start + 8 + size]
        if kind == 15 and draw.random() < 0.6:
            try:
                inside = draw.choice(SHAPES["bytes"])(zlib.decompress(data), draw)
            except zlib.error:
                inside = b""
            data = zlib.compress(inside)
        parts += [struct.pack("<II", kind, len(data)), data]
        start += 8 + size
    return b"".join(parts)


BYTES: tuple[Mutation, ...] = (
    flip_bit, flip_early_bit, flip_early_bit, set_number, delete, insert, repeat, truncate, splice,
    blank,
)  # fmt: skip
TEXT: tuple[Mutation, ...] = (
    *BYTES, nest, lengthen, change_number, change_number, add_token, add_token, mix_lines,
)  # fmt: skip
SHAPES: dict[str, tuple[Mutation, ...]] = {
    "bytes": BYTES,
    "text": TEXT,
    "gzip": (*BYTES[:3], truncate, *[within_gzip] * 8),
    "zip": (*BYTES[:3], truncate, *[within_zip] * 8),
    "png": (*BYTES[:3], truncate, *[within_png] * 6),
    "mat": (*BYTES, *[within_mat] * 10),
}
