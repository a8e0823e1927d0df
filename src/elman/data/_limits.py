"""The most that a reader takes in at one time, and why; docs/data.md lists the same limits.

A file that is small on the disk may stand for a very large one: compressed zeros, millions of empty
tags, an image of a single color. Data sets have no limit, since rows are read one after the other;
what a reader must hold whole, or works on without a pause, has one. Each lies far above real data,
and keeps a reader below `MEMORY`. Errors name the limit and the way around it.
"""

from __future__ import annotations

MEMORY = 1 << 30
"""Bytes that no reader may need for a file that is damaged or made to be expensive."""

ROW = 1 << 24
"""Characters of a row of a table, or of a line where lines are rows: a long novel has a tenth."""

COLUMNS = 100_000
"""Columns of a table: more than there are genes on a chip."""

DEPTH = 64
"""Levels of JSON or XML inside each other; tables need 3, scores 12, and numpy has no more axes."""

SENTENCE = 1 << 18
"""Lines without a blank one between them, in a file of words and labels."""

LINE_OF_VECTOR = 1 << 20
"""Bytes of a word and its numbers."""

COMPONENTS = 1 << 14
"""Numbers of a word's vector: no published ones have a tenth of that."""

UNPACKED = 1 << 21
"""Bytes that a .gz file of any size may unpack to."""

RATIO = 200
"""Beyond it, bytes for each byte of a .gz or Parquet file; text has 10 at most, zeros 1,000."""

PARQUET = 1 << 27
"""Bytes that a Parquet file of any size may unpack to; repeated values take next to none."""

BATCH = 1 << 26
"""Bytes of Parquet rows that become Python's objects together."""

PIXELS = 1 << 26
"""Pixels of an image, a JPEG's after it is scaled down: 8,192 x 8,192, a quarter of a gigabyte."""

FRAME = 1 << 25
"""Pixels of a video's frame: 8K has no more."""

VIDEO = 1 << 27
"""Pixels of all frames of a video, at the size that they are kept in."""

ANIMATION = 1 << 29
"""Pixels of all frames of a GIF or WebP as they are in the file: 2,000 frames of 500 x 500."""

DECODED = 1 << 30
"""Pixels of all frames of any other video file, however small: 500 frames of 1,920 x 1,080."""

DECODED_RATIO = 100_000
"""Beyond `DECODED`, pixels for each byte of a video; one in which nothing moves has a third."""

MIDI = 1 << 20
"""Bytes of a MIDI file, and so half as many events; mido takes 10 microseconds for each."""

QUARTERS = 1_000_000
"""Quarter notes from the beginning of a piece to its end: six days."""

SCORE = 1 << 26
"""Bytes of a score, unpacked."""

ARCHIVE = 1 << 24
"""Bytes of a compressed score, and so of its table of contents."""

TAGS = 2_000_000
"""Tags and attributes of a score: a symphony has a million."""

TAG = 1 << 20
"""Bytes of one tag or comment of a score."""

SCORE_NUMBER = 1_000_000.0
"""The largest number in a score, and the inverse of the smallest length of a step."""

APART = 3 << 28
"""Bytes of memory for reading a .mat or a Parquet file, which is done in a process of its own."""

MATLAB_SECONDS = 8
"""Seconds of processor time for a .mat file."""

FRAMES = 100_000
"""Frames of a piece of music."""

EXCERPT = 80
"""Characters of a bad value that a message quotes."""


def excerpt(value: object) -> str:
    """The repr of a value, truncated if it is long.

    >>> excerpt("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ... (102)"
    """
    text = repr(value)
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]} ... ({len(text):,})"
