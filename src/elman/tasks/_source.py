"""Where the rows of a task come from: files or a named data set, divided into splits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from elman._errors import DataError
from elman.data import BadRows, Record, read_table, records
from elman.tasks._table_config import TableData

SPLITS = ("train", "valid", "test")

NAMED_ROWS = 5
"""The most rows left out that are named; all are counted."""

Example = TypeVar("Example")
Read = Callable[["RowSource[Any]", Sequence[Path]], Iterator[Record]]
"""From files to records, for a source whose bad rows it reports."""


class Labeled(NamedTuple, Generic[Example]):
    """An example, its split where the data set names one, and the place of its row."""

    example: Example
    split: str | None = None
    place: str = ""


class RowSource(Generic[Example]):
    """Reads rows, checks them, divides them into splits, and leaves out duplicates.

    Args:
        data: the section of the configuration.
        task: the task that a named data set must be for.
        parse: from the values of a row to an example; raises BadValue.
        columns: the columns that a table must have.
        read: from files to records, where they are not tables.
        splits: whether files name the splits of their rows, as named data sets may.
        options: the options of a data set that is generated.

    Attributes:
        bad: the rows that cannot be used.
        duplicates: the number of rows left out since they occurred before.
    """

    def __init__(
        self,
        data: Any,
        task: str,
        parse: Callable[[Mapping[str, Any]], Example],
        columns: Sequence[str],
        *,
        read: Read | None = None,
        splits: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.data, self.task, self.parse, self.columns = data, task, parse, list(columns)
        self._read, self.splits = read, splits
        self.options = options or {}
        self.bad, self.duplicates = BadRows(data.on_bad_row), 0

    def records(self, files: Sequence[Path]) -> Iterator[Record]:
        """The rows of files."""
        return self.tables(files) if self._read is None else self._read(self, files)

    def tables(
        self, files: Sequence[Path], columns: Sequence[str] | None = None
    ) -> Iterator[Record]:
        """The rows of tables, with these columns; with those of the source if None."""
        data = self.data
        for file in files:
            yield from read_table(
                file,
                self.columns if columns is None else list(columns),
                self.bad,
                names=data.columns,
                encoding=data.encoding,
            )

    def from_files(self, files: Sequence[Path]) -> list[Labeled[Example]]:
        """The examples in files.

        Raises:
            DataError: there is none.
        """
        examples = self.parsed(self.records(files), splits=self.splits)
        if not examples:
            raise DataError(f"{', '.join(map(str, files))}: no row can be used{self.why()}")
        return examples

    def training(self) -> list[Labeled[Example]]:
        """The examples of the training files or of the named data set."""
        data: TableData = self.data
        if data.name:
            sizes: Any = {"rows": data.rows, "steps": data.steps, "seed": data.seed}
            rows = records(data.name, self.task, **sizes, **self.options)
            return self.parsed(rows, splits=True)
        return self.from_files(data.train)

    def drawn(self, examples: list[Labeled[Example]]) -> list[Labeled[Example]]:
        """``data.rows`` of the examples, in their order."""
        data: TableData = self.data
        if not data.rows or data.rows >= len(examples):
            return examples
        draw = np.random.default_rng(data.seed).permutation(len(examples))[: data.rows]
        return [examples[i] for i in sorted(draw)]

    def parsed(self, rows: Iterable[Record], *, splits: bool = False) -> list[Labeled[Example]]:
        """The example in each row; rows without one are an error, or left out."""
        examples = []
        for place, values in rows:
            with self.bad.place(place):
                split = values.get("split") if splits else None
                examples.append(Labeled(self.parse(values), split, place))
        return examples

    def divide(
        self, examples: Sequence[Labeled[Example]], stratum: Callable[[Example], Hashable]
    ) -> dict[str, list[Example]]:
        """The examples by split; each stratum is divided in the same proportion.

        Raises:
            DataError: too few examples for a split.
        """
        data: TableData = self.data
        parts: dict[str, list[Example]] = {}
        for example, split, _ in examples:
            parts.setdefault(split or "train", []).append(example)
        shares = Shares(
            0 if data.valid or "valid" in parts else data.valid_share,
            0 if data.test or "test" in parts else data.test_share,
        )
        whole = parts.get("train", [])
        cut = divide([stratum(example) for example in whole], shares, data.seed)
        for split, share in shares._asdict().items():
            if share and not cut[split]:
                raise DataError(
                    f"no {split} row can be split off: {counted(whole)} are too few for "
                    f"data.{split}_share = {share:g}; give more rows, a larger share, files with "
                    f"--{split}, or the share 0 to go without{self.why(otherwise='')}"
                )
        return {
            split: parts[split] if split in parts and split != "train" else [whole[i] for i in rows]
            for split, rows in cut.items()
            if rows or split in parts
        }

    def unique(
        self, parts: Mapping[str, list[Example]], key: Callable[[Example], Hashable]
    ) -> dict[str, list[Example]]:
        """Without duplicates. Test rows are kept first, so that none of them is trained on."""
        keys: set[Hashable] = set()
        kept: dict[str, list[Example]] = {}
        for split in sorted(parts):  # test, train, valid
            kept[split] = []
            for example in parts[split]:
                if (own := key(example)) not in keys:
                    kept[split].append(example)
                    keys.add(own)
            self.duplicates += len(parts[split]) - len(kept[split])
        return {split: kept[split] for split in parts}

    def why(self, otherwise: str = ": give more rows") -> str:
        """Why rows are missing, for messages."""
        why = []
        if self.duplicates:
            why.append(f"{self.duplicates:,} were there before, see data.unique")
        if self.bad.skipped:
            why.append(f"{counted(self.bad.skipped)} left out, the first: {self.bad.skipped[0]}")
        return f": {'; '.join(why)}" if why else otherwise

    def facts(self) -> dict[str, Any]:
        """The number of duplicates, and of rows left out, as far as there are any."""
        facts: dict[str, Any] = {}
        if self.duplicates:
            facts["duplicates"] = self.duplicates
        if self.bad.skipped:
            named = self.bad.skipped[:NAMED_ROWS]
            facts |= {"bad_rows": len(self.bad.skipped), "first_bad": named}
        return facts


class Shares(NamedTuple):
    """The shares of the rows that are split off."""

    valid: float
    test: float


def divide(strata: Sequence[Hashable], shares: Shares, seed: int) -> dict[str, list[int]]:
    """Row numbers by split, shuffled; each stratum is divided in the same proportion.

    >>> parts = divide(["a"] * 20 + ["b"] * 10, Shares(valid=0.1, test=0.2), seed=0)
    >>> {split: len(rows) for split, rows in parts.items()}
    {'train': 21, 'valid': 3, 'test': 6}
    """
    draw = np.random.default_rng(seed)
    groups: dict[Hashable, list[int]] = {}
    for row, stratum in enumerate(strata):
        groups.setdefault(stratum, []).append(row)
    parts: dict[str, list[int]] = {split: [] for split in SPLITS}
    for rows in groups.values():
        order = draw.permutation(rows).tolist()
        valid, test = round(shares.valid * len(rows)), round(shares.test * len(rows))
        parts["valid"] += order[:valid]
        parts["test"] += order[valid : valid + test]
        parts["train"] += order[valid + test :]
    return {split: [int(i) for i in draw.permutation(rows)] for split, rows in parts.items()}


def counted(values: Sequence[Any]) -> str:
    """How many, for messages: "1 row", "3 rows".

    >>> counted([7])
    '1 row'
    """
    return f"{len(values):,} row{'s' * (len(values) != 1)}"
