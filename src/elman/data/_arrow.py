"""The rows of a Parquet file: a program for `elman.data._apart`.

It hands on a stream of record batches, as Arrow writes them, which fit into memory one by one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import compute
from pyarrow.parquet import ParquetFile, read_metadata

from elman.data._apart import limit, refuse

ROWS = 1024
"""Rows that are decoded together, unless they are large."""


class Most(NamedTuple):
    """Limits: bytes that any file may unpack to, the ratio beyond that, and bytes of a batch."""

    unpacked: int
    ratio: int
    batch: int


def batches(path: str, most: Most) -> Iterator[Any]:
    """Record batches that are small enough as Python objects; the first one is empty."""
    metadata = read_metadata(path)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    # What it says of itself, before anything is decoded; values that are stored once come later.
    stored = sum(max(c.total_uncompressed_size, 8 * c.num_values) for c in chunks)
    check_size(path, stored, most)
    mean = stored // max(1, metadata.num_rows)
    rows = max(1, min(ROWS, most.batch // max(1, mean)))
    # Texts stay in their dictionary until a row is made of them: a long one may be repeated.
    texts = sorted({c.path_in_schema for c in chunks if c.physical_type == "BYTE_ARRAY"})
    options: Any = {"pre_buffer": False, "buffer_size": 1 << 16, "read_dictionary": texts}
    with ParquetFile(path, metadata=metadata, **options) as table:
        yield pa.RecordBatch.from_pylist([], table.schema_arrow)
        number = unpacked = 0
        for batch in table.iter_batches(rows, use_threads=False):
            batch.validate(full=True)
            unpacked += sum(map(weight, batch.columns))
            check_size(path, unpacked, most)
            yield from light(batch, number, most.batch)
            number += len(batch)


def check_size(path: str, unpacked: int, most: Most) -> None:
    """Refuse what unpacks to far more than the file's size."""
    if unpacked > max(most.unpacked, most.ratio * Path(path).stat().st_size):
        refuse(
            f"it unpacks to more than {most.ratio} times its size, as a decompression bomb does "
            "(if the file is genuine, convert it to .csv)"
        )


def light(batch: Any, before: int, most: int) -> Iterator[Any]:
    """The batch in pieces of at most ``most`` bytes."""
    if sum(map(weight, batch.columns)) <= most:
        yield batch
        return
    if len(batch) == 1:
        refuse(f"row {before + 1} has more than {most:,} bytes (break it into several rows)")
    half = len(batch) // 2
    yield from light(batch.slice(0, half), before, most)
    yield from light(batch.slice(half), before + half, most)


def weight(array: Any) -> int:
    """The approximate bytes of an array as Python objects."""
    if isinstance(array, pa.DictionaryArray):
        lengths = compute.binary_length(array.dictionary).take(array.indices)
        return 16 * len(array) + (compute.sum(lengths).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(map(weight, array.flatten()))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return 64 * len(array) + weight(array.flatten())
    return 16 * len(array) + int(array.nbytes)


def main() -> None:
    """PATH MEMORY UNPACKED RATIO BATCH, as `elman.data._parquet` gives them."""
    path, memory, *numbers = sys.argv[1:]
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    limit(int(memory))
    try:
        record_batches = batches(path, Most(*map(int, numbers)))
        with pa.ipc.new_stream(sys.stdout.buffer, next(record_batches).schema) as stream:
            for batch in record_batches:
                stream.write_batch(batch)
    except MemoryError:
        refuse(f"it needs more than {int(memory):,} bytes of memory")
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        refuse(str(error) or type(error).__name__)


if __name__ == "__main__":
    main()
