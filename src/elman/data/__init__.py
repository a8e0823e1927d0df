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
    from elman.data._images import read_captions, read_image
    from elman.data._midi import write_midi
    from elman.data._music import Note, notes_of, piano_roll, read_music
    from elman.data._pairs import read_parallel
    from elman.data._rows import Rows
    from elman.data._table import BadRows, BadValue, Record, RowLines, read_table
    from elman.data._text import Lines, Source, Split, TextSource
    from elman.data._tokens import open_tokens, tokenize
    from elman.data._vectors import Vectors, read_vectors
    from elman.data._video import moving, read_videos
    from elman.data._vocab import EOS, KINDS, UNK, Vocabulary

__all__ = [
    "CATALOG",
    "EOS",
    "KINDS",
    "UNK",
    "BadRows",
    "BadValue",
    "Dataset",
    "Lanes",
    "Lines",
    "Note",
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
    "tokenize",
    "unguarded",
    "write_midi",
]

_HOMES = {
    "_batch": ("Lanes", "Ragged", "buckets", "crop", "pad"),
    "_catalog": ("CATALOG", "Dataset", "by_name", "records", "restored"),
    "_conll": ("read_tagged",),
    "_formulas": ("guarded", "unguarded"),
    "_images": ("read_captions", "read_image"),
    "_midi": ("write_midi",),
    "_music": ("Note", "notes_of", "piano_roll", "read_music"),
    "_pairs": ("read_parallel",),
    "_rows": ("Rows",),
    "_table": ("BadRows", "BadValue", "Record", "RowLines", "read_table"),
    "_text": ("Lines", "Source", "Split", "TextSource"),
    "_tokens": ("open_tokens", "tokenize"),
    "_vectors": ("Vectors", "read_vectors"),
    "_video": ("moving", "read_videos"),
    "_vocab": ("EOS", "KINDS", "UNK", "Vocabulary"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"elman.data.{home}"), name)
    raise AttributeError(f"module 'elman.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
