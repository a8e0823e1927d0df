"""Parquet, a few rows at a time; pyarrow is called here alone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from elman._errors import DataError
from elman.data import _limits as limits
from elman.data._table import Plan, Record, check_columns

ROWS = 1024
"""Rows that are decoded together."""


def read_parquet(file: Path, plan: Plan) -> Iterator[Record]:
    """The rows of a Parquet file.

    Raises:
        DataError: pyarrow is missing, the file is damaged, lacks a column, or unpacks to far more
            than real data do.
    """
    if find_spec("pyarrow") is None:
        raise DataError(
            f"{file}: Parquet needs the package pyarrow: pip install pyarrow, or convert to .csv"
        )
    from pyarrow import ArrowException

    try:
        yield from _rows(file, plan)
    except DataError:
        raise
    except (OSError, ArrowException, ValueError, LookupError, OverflowError, MemoryError) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{file}: cannot be read: {why}: check or write it again") from error


def _rows(file: Path, plan: Plan) -> Iterator[Record]:
    from pyarrow.parquet import ParquetFile, read_metadata

    metadata = read_metadata(file)
    chunks = _chunks(metadata)
    # What it says of itself, before anything is decoded; values that are stored once come later.
    _check_size(file, sum(max(c.total_uncompressed_size, 8 * c.num_values) for c in chunks))
    texts = {c.path_in_schema for c in chunks if c.physical_type == "BYTE_ARRAY"}
    # Texts stay in their dictionary until a row is made of them: a long one may be repeated.
    options: Any = {"pre_buffer": False, "buffer_size": 1 << 16, "read_dictionary": sorted(texts)}
    with ParquetFile(file, metadata=metadata, **options) as table:
        check_columns(file, plan.wanted, table.schema_arrow.names)
        number = weight = 0
        for batch in table.iter_batches(ROWS):
            weight += sum(map(_weight, batch.columns))
            _check_size(file, weight)
            for some in _light(file, batch, number):
                for values in some.to_pylist():
                    number += 1
                    yield Record(f"{file}, row {number}", values)


def _chunks(metadata: Any) -> list[Any]:
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    return [group.column(i) for group in groups for i in range(group.num_columns)]


def _check_size(file: Path, unpacked: int) -> None:
    """Refuse what unpacks to far more than the file's size."""
    if unpacked > max(limits.PARQUET, limits.RATIO * file.stat().st_size):
        raise DataError(
            f"{file}: unpacks to more than {limits.RATIO} times its size, as files do that are "
            "made to fill a memory: if this one is meant so, convert it to .csv"
        )


def _light(file: Path, batch: Any, before: int) -> Iterator[Any]:
    """The batch in pieces that are small enough as Python's objects."""
    if sum(map(_weight, batch.columns)) <= limits.BATCH:
        yield batch
        return
    if len(batch) == 1:
        raise DataError(
            f"{file}, row {before + 1}: a row of at most {limits.BATCH:,} bytes was expected, this "
            "one has more: break it into rows"
        )
    half = len(batch) // 2
    yield from _light(file, batch.slice(0, half), before)
    yield from _light(file, batch.slice(half), before + half)


def _weight(array: Any) -> int:
    """The bytes, about, of an array as Python's objects."""
    import pyarrow as pa
    from pyarrow import compute

    if isinstance(array, pa.DictionaryArray):
        lengths = compute.binary_length(array.dictionary).take(array.indices)
        return 16 * len(array) + (compute.sum(lengths).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(map(_weight, array.flatten()))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return 64 * len(array) + _weight(array.flatten())
    return 16 * len(array) + int(array.nbytes)
