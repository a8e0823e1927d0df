"""Data: text files to vocabularies, token files and batches; named data sets.

The names are loaded when they are first used: the catalog needs no torch, a batch no tokenizers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman._lazy import lazy

if TYPE_CHECKING:
    from elman.data._ball import Box as Box, render as render
    from elman.data._batch import (
        Lanes as Lanes,
        Ragged as Ragged,
        buckets as buckets,
        crop as crop,
        pad as pad,
    )
    from elman.data._captions import read_captions as read_captions
    from elman.data._catalog import (
        CATALOG as CATALOG,
        Dataset as Dataset,
        by_name as by_name,
        records as records,
        restored as restored,
    )
    from elman.data._conll import read_tagged as read_tagged
    from elman.data._formulas import guarded as guarded, unguarded as unguarded
    from elman.data._images import (
        IMAGE_SUFFIXES as IMAGE_SUFFIXES,
        Pixels as Pixels,
        read_image as read_image,
    )
    from elman.data._midi import synthesize as synthesize, write_midi as write_midi
    from elman.data._pairs import read_parallel as read_parallel
    from elman.data._rows import Column as Column, Rows as Rows
    from elman.data._table import (
        TABLE_FORMATS as TABLE_FORMATS,
        BadRows as BadRows,
        BadValue as BadValue,
        Record as Record,
        RowLines as RowLines,
        is_idx as is_idx,
        matching_columns as matching_columns,
        read_table as read_table,
    )
    from elman.data._text import (
        Lines as Lines,
        Source as Source,
        Split as Split,
        TextSource as TextSource,
    )
    from elman.data._tokens import open_tokens as open_tokens, tokenize as tokenize
    from elman.data._vectors import Vectors as Vectors, read_vectors as read_vectors
    from elman.data._video import is_video as is_video, moving as moving, read_videos as read_videos
    from elman.data._vocab import EOS as EOS, KINDS as KINDS, UNK as UNK, Vocabulary as Vocabulary
    from elman.data.music import (
        Note as Note,
        notes_of as notes_of,
        piano_roll as piano_roll,
        read_music as read_music,
    )

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_ball": "Box render",
        "_batch": "Lanes Ragged buckets crop pad",
        "_catalog": "CATALOG Dataset by_name records restored",
        "_conll": "read_tagged",
        "_formulas": "guarded unguarded",
        "_captions": "read_captions",
        "_images": "IMAGE_SUFFIXES Pixels read_image",
        "_midi": "synthesize write_midi",
        "_pairs": "read_parallel",
        "_rows": "Column Rows",
        "_table": "TABLE_FORMATS BadRows BadValue Record RowLines is_idx matching_columns "
        "read_table",
        "_text": "Lines Source Split TextSource",
        "_tokens": "open_tokens tokenize",
        "_vectors": "Vectors read_vectors",
        "_video": "is_video moving read_videos",
        "_vocab": "EOS KINDS UNK Vocabulary",
        "music": "Note notes_of piano_roll read_music",
    },
)
