"""A table of rows in memory: sequences and single values, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from elman._errors import CheckpointError, DtypeError, ShapeError, kind_of
from elman._files import replacing, require_plain, why
from elman.data._batch import Ragged

Column: TypeAlias = Ragged | Tensor
"""One entry a row: a sequence of any length, or a value (rows, ...)."""


_HOW = "use torch.tensor(column) for one value a row, Ragged.of(sequences) for sequences"


class Rows:
    r"""Columns of equally many rows.

    Raises:
        DtypeError: a column is neither a tensor nor Ragged.
        ShapeError: the columns have different numbers of rows.

    Example:
        >>> rows = Rows({"text": Ragged.of([[3, 1], [4]]), "label": torch.tensor([0, 1])})
        >>> len(rows), rows.lengths("text")
        (2, tensor([2, 1]))
        >>> rows.take(torch.tensor([1]))["label"]
        tensor([1])
        >>> rows.select([1])["text"][0]
        tensor([4])
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        if not isinstance(columns, Mapping):
            raise DtypeError(f"expected columns by name, got {kind_of(columns)}: {_HOW}")
        for name, column in columns.items():
            if not isinstance(column, (Ragged, Tensor)):
                raise DtypeError(
                    f"column {name!r}: expected a tensor or Ragged, got {kind_of(column)}: {_HOW}"
                )
        self.columns = dict(columns)
        counts = {name: len(column) for name, column in self.columns.items()}
        if len(set(counts.values())) != 1:
            raise ShapeError(f"all columns must have the same number of rows, got {counts}")
        self._count = next(iter(counts.values()))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def sequences(self, name: str) -> Ragged:
        """A column that has a sequence in each row."""
        column = self.columns[name]
        if not isinstance(column, Ragged):
            raise DtypeError(f"column {name!r} must have sequences, got one value a row")
        return column

    def tensor(self, name: str) -> Tensor:
        """A column that has one value in each row."""
        column = self.columns[name]
        if not isinstance(column, Tensor):
            raise DtypeError(f"column {name!r} must have one value a row, got sequences")
        return column

    def lengths(self, name: str) -> Tensor:
        """The steps of each row of a column; 1 where a row has one value."""
        column = self.columns[name]
        if isinstance(column, Ragged):
            return column.lengths
        return torch.ones(self._count, dtype=torch.long)

    def select(self, rows: Tensor | Iterable[int]) -> Rows:
        """Those rows, in that order."""
        index = rows if isinstance(rows, Tensor) else torch.tensor(list(rows), dtype=torch.long)
        return Rows(
            {
                name: column.select(index) if isinstance(column, Ragged) else column[index]
                for name, column in self.columns.items()
            }
        )

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """Those rows of every column, sequences padded; NAME_lengths has the lengths of NAME."""
        taken: dict[str, Tensor] = {}
        for name, column in self.columns.items():
            if isinstance(column, Ragged):
                taken[name], taken[f"{name}_lengths"] = column.padded(rows)
            else:
                taken[name] = column[rows]
        return taken

    def save(self, path: Path) -> None:
        """Write them as safetensors."""
        tensors: dict[str, Tensor] = {}
        for name, column in self.columns.items():
            if isinstance(column, Ragged):
                tensors |= {f"{name}.values": column.values, f"{name}.lengths": column.lengths}
            else:
                tensors[name] = column
        with replacing(path) as file:
            file.write(safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}))

    @classmethod
    def load(cls, path: Path) -> Rows:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is damaged.
        """
        try:
            require_plain(path)
            tensors = safetensors.torch.load_file(path)
            columns: dict[str, Column] = {k: v for k, v in tensors.items() if "." not in k}
            for name in (k.removesuffix(".values") for k in tensors if k.endswith(".values")):
                columns[name] = Ragged(tensors[f"{name}.values"], tensors[f"{name}.lengths"])
            if not columns:
                raise ValueError("it has no columns")
            return cls(columns)
        except (OSError, RuntimeError, safetensors.SafetensorError, ValueError, KeyError) as error:
            # torch opens the file itself, and raises a RuntimeError where it cannot.
            raise CheckpointError(
                f"{path}: cannot be read: {why(error)}; make it readable, or train again"
            ) from error
