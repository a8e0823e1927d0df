"""Data: text files to vocabularies, token files and batches; named data sets.

The names are loaded when they are first used: the catalog needs no torch, a batch no tokenizers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.data._batch import Lanes, Ragged, buckets, crop, pad
    from elman.data._catalog import CATALOG, Dataset, by_name, records, restored
    from elman.data._conll import read_tagged
    from elman.data._formulas import guarded, unguarded
    from elman.data._images import IMAGE_SUFFIXES, Pixels, read_captions, read_image
    from elman.data._midi import synthesize, write_midi
    from elman.data._pairs import read_parallel
    from elman.data._rows import Column, Rows
    from elman.data._table import (
        TABLE_FORMATS,
        BadRows,
        BadValue,
        Record,
        RowLines,
        is_idx,
        matching_columns,
        read_table,
    )
    from elman.data._text import Lines, Source, Split, TextSource
    from elman.data._tokens import open_tokens, tokenize
    from elman.data._vectors import Vectors, read_vectors
    from elman.data._video import is_video, moving, read_videos
    from elman.data._vocab import EOS, KINDS, UNK, Vocabulary
    from elman.data.music import Note, notes_of, piano_roll, read_music

__all__ = [
    "CATALOG",
    "EOS",
    "IMAGE_SUFFIXES",
    "KINDS",
    "TABLE_FORMATS",
    "UNK",
    "BadRows",
    "BadValue",
    "Column",
    "Dataset",
    "Lanes",
    "Lines",
    "Note",
    "Pixels",
    "Ragged",
    "Record",
    "RowLines",
    "Rows",
    "Source",
    "Split",
    "TextSource",
    "Vectors",
    "Vocabulary",
    "buckets",
    "by_name",
    "crop",
    "guarded",
    "is_idx",
    "is_video",
    "matching_columns",
    "moving",
    "notes_of",
    "open_tokens",
    "pad",
    "piano_roll",
    "read_captions",
    "read_image",
    "read_music",
    "read_parallel",
    "read_table",
    "read_tagged",
    "read_vectors",
    "read_videos",
    "records",
    "restored",
    "synthesize",
    "tokenize",
    "unguarded",
    "write_midi",
]

_HOMES = {
    "_batch": ("Lanes", "Ragged", "buckets", "crop", "pad"),
    "_catalog": ("CATALOG", "Dataset", "by_name", "records", "restored"),
    "_conll": ("read_tagged",),
    "_formulas": ("guarded", "unguarded"),
    "_images": ("IMAGE_SUFFIXES", "Pixels", "read_captions", "read_image"),
    "_midi": ("synthesize", "write_midi"),
    "music": ("Note", "notes_of", "piano_roll", "read_music"),
    "_pairs": ("read_parallel",),
    "_rows": ("Column", "Rows"),
    "_table": (
        "TABLE_FORMATS",
        "BadRows",
        "BadValue",
        "Record",
        "RowLines",
        "is_idx",
        "matching_columns",
        "read_table",
    ),
    "_text": ("Lines", "Source", "Split", "TextSource"),
    "_tokens": ("open_tokens", "tokenize"),
    "_vectors": ("Vectors", "read_vectors"),
    "_video": ("is_video", "moving", "read_videos"),
    "_vocab": ("EOS", "KINDS", "UNK", "Vocabulary"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"elman.data.{home}"), name)
    raise AttributeError(f"module 'elman.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
