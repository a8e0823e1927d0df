"""Supervised tasks whose rows come from files or from a named data set."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from os.path import lexists
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from elman._errors import CheckpointError, ConfigError, DataError
from elman._files import read_json, replacing, why
from elman.data import BadRows, Record, Rows, read_table, records
from elman.data._table import FORMATS
from elman.pictures import Picture
from elman.tasks._base import NamedTask, Reading
from elman.tasks._supervised import Supervised, counted
from elman.tasks._table_config import FileData, TableData

SPLITS = ("train", "valid", "test")

SHOWN = 5
"""So many of the rows that were left out are named; all are counted."""


class TableTask(Supervised, NamedTask):
    """Reads, checks and divides rows; a subclass says what a row means.

    It gives `wanted`, `parse`, `learn`, `encode`, `learned` and `recall`, beside what a
    `Supervised` task gives; `key` and `stratum` where duplicates are to be found and classes to be
    divided evenly; `read` for files that are no tables. What it learns from the training rows
    alone, such as a vocabulary, `learned` puts into JSON and `recall` takes out again.

    The run folder keeps ``task.json`` and ``rows/SPLIT.safetensors``.
    """

    suits: ClassVar[str]
    """The name of the task for which a named data set must be fit."""

    data: Any

    def __init__(self, data: FileData, model: Any) -> None:
        self.data, self.model = data, model
        self.parts = {}
        self.batch_rows = data.batch
        self.known = False  # whether the training rows were learned from
        self.bad = BadRows(data.on_bad_row)
        self.duplicates = 0

    @abstractmethod
    def wanted(self) -> list[str]:
        """The columns that a file must have."""

    @abstractmethod
    def parse(self, values: Mapping[str, Any]) -> Any:
        """The example in a row's values; a BadValue if there is none in it."""

    @abstractmethod
    def learn(self, examples: Sequence[Any]) -> None:
        """Take from the training examples what encoding them needs."""

    @abstractmethod
    def encode(self, examples: Sequence[Any]) -> Rows:
        """The examples as numbers."""

    @abstractmethod
    def learned(self) -> dict[str, Any]:
        """What `learn` found, as JSON."""

    @abstractmethod
    def recall(self, learned: Mapping[str, Any]) -> None:
        """Be as after `learn`."""

    def key(self, example: Any) -> Hashable:
        """What is alike in two rows of which one is too many; None if there are none such."""
        return None

    def stratum(self, example: Any) -> Hashable:
        """Rows alike in this are divided evenly among train, valid and test."""
        return None

    def making(self) -> dict[str, Any]:
        """What is chosen of a data set that is made, beside rows, steps and seed."""
        return {}

    def split_of(self, values: Mapping[str, Any]) -> str | None:
        """The split that a row says it belongs to; a file's own column "split" says nothing."""
        return values.get("split") if self.data.name else None

    def read(self, path: Path) -> Iterator[Record]:
        """The rows of a file."""
        data = self.data
        return read_table(path, self.wanted(), self.bad, names=data.columns, encoding=data.encoding)

    def read_all(self, files: Sequence[Path]) -> Iterator[Record]:
        """The rows of several files, one after the other."""
        for file in files:
            yield from self.read(file)

    @classmethod
    def prepare(
        cls,
        data: Any,
        model: Any,
        folder: Path | None = None,  # noqa: ARG003 - all is kept in memory, and saved later
        reading: Reading | None = None,
    ) -> Self:
        """Read and divide the rows, and learn from the training rows.

        Raises:
            DataError: a file or a row cannot be used, or no row is left.
        """
        task = cls(data, model)
        parts = task._divided()
        if data.unique:
            parts = task._once(parts)
        for split, examples in parts.items():
            if not examples:
                raise DataError(f"no {split} row is left{task._why()}")
        task.learn(parts["train"])
        task.known = True
        for split in ("valid", "test"):
            if files := getattr(data, split):
                parts[split] = task.examples(files)
        task.parts = {split: task.encode(examples) for split, examples in parts.items()}
        if reading:
            for split, rows in task.parts.items():
                reading(split, len(rows), len(rows))
        return task

    def examples(self, files: Sequence[Path]) -> list[Any]:
        """What is in these files."""
        return [example for example, _ in self._found(files)]

    def _found(self, files: Sequence[Path]) -> list[tuple[Any, str | None]]:
        found = self._parsed(self.read_all(files))
        if not found:
            raise DataError(f"{', '.join(map(str, files))}: no row can be used{self._why()}")
        return found

    def _parsed(self, rows: Iterable[Record]) -> list[tuple[Any, str | None]]:
        """Each example, and the split that it belongs to, if that is given."""
        parsed = []
        for place, values in rows:
            with self.bad.caught(place):
                parsed.append((self.parse(values), self.split_of(values)))
        return parsed

    def _divided(self) -> dict[str, list[Any]]:
        data: TableData = self.data
        if data.name:
            chosen: Any = {"rows": data.rows, "steps": data.steps, "seed": data.seed}
            found = self._parsed(records(data.name, self.suits, **chosen, **self.making()))
        else:
            found = self._found(data.train)
        if data.rows and data.rows < len(found):
            drawn = np.random.default_rng(data.seed).permutation(len(found))[: data.rows]
            found = [found[i] for i in sorted(drawn)]
        parts: dict[str, list[Any]] = {}
        for example, split in found:
            parts.setdefault(split or "train", []).append(example)
        shares = Shares(
            0 if data.valid or "valid" in parts else data.valid_share,
            0 if data.test or "test" in parts else data.test_share,
        )
        whole = parts.get("train", [])
        cut = divide([self.stratum(example) for example in whole], shares, data.seed)
        for split, share in shares._asdict().items():
            if share and not cut[split]:
                raise DataError(
                    f"no {split} row can be split off: {counted(whole)} are too few for "
                    f"data.{split}_share = {share:g}; give more rows, a larger share, files with "
                    f"--{split}, or the share 0 to go without{self._why(of='')}"
                )
        return {
            split: parts[split] if split in parts and split != "train" else [whole[i] for i in some]
            for split, some in cut.items()
            if some or split in parts
        }

    def _once(self, parts: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Without rows that were there before; test rows come first, so that none is learned."""
        seen: set[Hashable] = set()
        kept: dict[str, list[Any]] = {}
        for split in sorted(parts):  # test, train, valid
            kept[split] = []
            for example in parts[split]:
                key = self.key(example)
                if key is None or key not in seen:
                    kept[split].append(example)
                    seen.add(key)
            self.duplicates += len(parts[split]) - len(kept[split])
        return {split: kept[split] for split in parts}

    def _why(self, of: str = ": give more rows") -> str:
        why = []
        if self.duplicates:
            why.append(f"{self.duplicates:,} were there before, see data.unique")
        if self.bad.skipped:
            why.append(f"{counted(self.bad.skipped)} left out, the first: {self.bad.skipped[0]}")
        return f": {'; '.join(why)}" if why else of

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"rows": {split: len(rows) for split, rows in self.parts.items()}}
        if self.duplicates:
            facts["duplicates"] = self.duplicates
        if self.bad.skipped:
            facts |= {"bad_rows": len(self.bad.skipped), "first_bad": self.bad.skipped[:SHOWN]}
        return facts

    def save(self, folder: Path) -> None:
        with replacing(folder / "task.json") as file:
            file.write(json.dumps(self.learned(), indent=1).encode())
        for split, rows in self.parts.items():
            rows.save(folder / "rows" / f"{split}.safetensors")

    def reads(self, path: Path) -> bool:
        """Whether `rows_of` reads such a file; any other has one text a line."""
        return bool(set(path.suffixes) & set(FORMATS))

    def row_of(self, text: str) -> Mapping[str, Any]:
        """A row to be answered that has only this text; a ConfigError where rows are no texts."""
        raise ConfigError(f"{self.name} reads no texts here: give a table with --input")

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        """The rows of a file to be answered; they need no target."""
        raise NotImplementedError

    def upcoming(self) -> Iterator[Mapping[str, Any]]:
        """What is answered where nothing is given; a ConfigError unless the task can go on."""
        raise ConfigError("nothing to predict from: give --text TEXT or --input FILE")

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What the network says of rows without a target: what was asked comes first in each."""
        raise NotImplementedError

    def portraits(self, given: Iterable[Mapping[str, Any]]) -> list[Picture]:
        """A picture of each answer to such rows, if there is something to be drawn."""
        return []

    @classmethod
    def restore(cls, folder: Path, data: Any, model: Any) -> Self:
        task = cls(data, model)
        path = folder / "task.json"
        try:
            task.recall(read_json(path))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read: {why(error)}; train again") from error
        except (LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: is not what a run of {cls.name} writes there ({error!r}); train again"
            ) from error
        task.known = True
        files = {split: folder / "rows" / f"{split}.safetensors" for split in SPLITS}
        task.parts = {split: Rows.load(file) for split, file in files.items() if lexists(file)}
        return task

    def on(self, files: Sequence[Path] = (), rows: int | None = None) -> Self:
        other = copy(self)
        other.bad, other.duplicates = BadRows(self.bad.action), 0
        other.batch_rows = rows or self.batch_rows
        if files:
            other.parts = {"test": other.encode(other.examples(files))}
        return other


class Shares(NamedTuple):
    """Of the rows, what part is split off."""

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
