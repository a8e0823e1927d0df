"""Parquet, a few rows at a time, by a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from elman._errors import DataError
from elman.data import _limits as limits
from elman.data._apart import apart
from elman.data._table import ReadOptions, Record, check_columns


def read_parquet(file: Path, options: ReadOptions) -> Iterator[Record]:
    """The rows of a Parquet file.

    Raises:
        DataError: pyarrow is missing, the file is damaged, lacks a column, or unpacks to far more
            than real data do.
    """
    if find_spec("pyarrow") is None:
        raise DataError(
            f"{file}: Parquet needs the package pyarrow: pip install pyarrow, or convert to .csv"
        )
    from pyarrow import ArrowException, ipc

    most = limits.APART, limits.PARQUET, limits.RATIO, limits.BATCH
    broken, number = None, 0
    with apart(file, "_arrow", *most) as stream:
        try:
            with ipc.open_stream(stream) as batches:
                check_columns(file, options.required, batches.schema.names)
                for batch in batches:
                    for values in _python(batch, f"{file}, row {number + 1} or later"):
                        number += 1
                        yield Record(f"{file}, row {number}", values)
        except (ArrowException, OSError) as error:
            broken = error  # the process has ended early, and `apart` says why
    if broken:
        raise RuntimeError(f"{file}: its reader ended as if all were well") from broken


def _python(batch: Any, place: str) -> list[dict[str, Any]]:
    """The rows of a batch; Python cannot represent every value, such as some dates."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, LookupError, OverflowError) as error:
        raise DataError(f"{place}: cannot be read: {error}: check or write it again") from error
    return rows
