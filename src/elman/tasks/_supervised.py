"""Supervised tasks: rows, each with a sequence and what is to be predicted from it."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor

from elman._errors import CheckpointError, ConfigError, DataError
from elman._files import read_json, replacing, why
from elman.bptt import State
from elman.data import TABLE_FORMATS, BadRows, Column, Ragged, Rows, buckets, is_idx
from elman.pictures import Picture
from elman.tasks._answers import beside
from elman.tasks._features import Feature
from elman.tasks._source import SPLITS, Labeled, Read, RowSource
from elman.tasks._task import Excerpt, Metrics, Reading, Task, evaluating

Answer = TypeVar("Answer")
SAMPLES, LONGEST_SAMPLE = 12, 240
"""Rows of a table of samples, and the most characters of what the network reads."""
NONE: Mapping[str, Feature] = MappingProxyType({})
Example = dict[str, Any]
"""The value of each feature in a row."""


@dataclass(frozen=True)
class Part:
    """Some rows of a table as a batch; they are padded when `columns` is called.

    It is one whole: a label at the end, or a network of both directions, leaves nothing to cut, so
    the gradient is exact whatever the policy. ``terms`` is what its loss sums over.
    """

    of: Rows
    indices: Tensor
    terms: int
    device: torch.device
    continues: ClassVar[bool] = False

    @property
    def steps(self) -> int:
        return 1

    @property
    def rows(self) -> int:
        return len(self.indices)

    def count(self, start: int, stop: int) -> int:
        return self.terms

    def columns(self) -> dict[str, Tensor]:
        """Every column of the rows; sequences padded, and their lengths as NAME_lengths."""
        taken = self.of.take(self.indices)
        return {name: column.to(self.device) for name, column in taken.items()}


class Supervised(Task):
    r"""Learning from rows: batches of rows of similar length, each epoch in another order.

    .. math:: L = \frac{1}{N} \sum_{b} \ell(f(x_b), y_b)

    A subclass has `build` and `criterion`. Its rows are in ``parts``, by split. Either a task puts
    tensors there itself; or it has features, ``inputs`` and ``targets``, and `prepare` reads the
    rows from files or a named data set, checks and divides them, fits the features to the training
    rows, and encodes. The run folder then keeps ``task.json`` and ``rows/SPLIT.safetensors``.

    Args:
        data: the section of the configuration that says which rows are read; None for a task that
            puts tensors into ``parts`` itself.
        model: the section of the network.
        inputs: what the network reads, by the name of its column in `Rows`.
        targets: what is to be predicted, likewise.
        read: from files to records, for files that are not tables.

    Attributes:
        sort_by: the column by whose length rows are sorted.
        batch_rows: the batch size.

    Example:
        >>> from elman.data import Ragged
        >>> from elman.cells import GRU
        >>> from elman.layers import Recurrent
        >>> from elman.metrics import Metric
        >>> class Sum(Supervised):  # of numbers, however many
        ...     unit, metric, sort_by = "mse", Metric("mse"), "x"
        ...     def build(self):
        ...         return torch.nn.ModuleList([Recurrent(GRU(1, 8)), torch.nn.Linear(8, 1)])
        ...     def criterion(self, batch):
        ...         rows = batch.columns()
        ...         recurrent, output = self.network
        ...         _, state = recurrent(rows["x"], lengths=rows["x_lengths"])
        ...         return (output(state.h)[:, 0] - rows["y"]).square().sum()
        ...     def metrics(self, predictions):
        ...         return {"mse": predictions.loss}
        >>> task = Sum()
        >>> x = [torch.rand(n, 1).tolist() for n in (3, 1, 2, 5)]
        >>> y = torch.tensor([sum(v for v, in row) for row in x])
        >>> task.parts = {"valid": Rows({"x": Ragged.of(x, torch.float32), "y": y})}
        >>> list(task.evaluate("valid"))
        ['mse']
    """

    counted: ClassVar[str] = "rows"
    datasets: ClassVar[str] = ""
    """The task whose named data sets can be read; the task itself if empty."""

    parts: dict[str, Rows]
    sort_by: str = ""
    batch_rows: int = 32
    data: Any = None
    model: Any = None
    inputs: Mapping[str, Feature] = NONE
    targets: Mapping[str, Feature] = NONE

    def __init__(
        self,
        data: Any = None,
        model: Any = None,
        *,
        inputs: Mapping[str, Feature] = NONE,
        targets: Mapping[str, Feature] = NONE,
        read: Read | None = None,
        splits: bool = False,
    ) -> None:
        self.data, self.model, self.parts = data, model, {}
        self.inputs, self.targets = inputs, targets
        if data is not None:
            self.batch_rows = data.batch
            self.source: RowSource[Any] = RowSource(
                data,
                self.datasets or self.name,
                self.parse,
                [column for feature in self.features.values() for column in feature.columns],
                read=read,
                splits=splits,
                options=self.generator_options(),
            )

    @property
    def features(self) -> dict[str, Feature]:
        """Inputs and targets."""
        return {**self.inputs, **self.targets}

    # From files to rows

    def parse(self, values: Mapping[str, Any]) -> Any:
        """The example in a row: the value of each feature.

        Raises:
            BadValue: there is none that can be used.
        """
        return {name: feature.parse(values) for name, feature in self.features.items()}

    def key(self, example: Any) -> Hashable:
        """Equal for examples that are duplicates: they have the same inputs."""
        return tuple(feature.key(example[name]) for name, feature in self.inputs.items())

    def stratum(self, example: Any) -> Hashable:
        """Examples that are divided evenly among train, valid and test."""
        return None

    def merged(self, examples: list[Labeled[Any]]) -> list[Labeled[Any]]:
        """The examples, where several rows of the training data may make one."""
        return examples

    def divide(self, examples: Sequence[Labeled[Any]]) -> dict[str, list[Any]]:
        """The examples by split."""
        return self.source.divide(examples, self.stratum)

    def held_out(self, examples: Sequence[Labeled[Any]]) -> list[Any]:
        """The examples of files to validate or test on: those that no file names as training."""
        return [each.example for each in examples if each.split in (None, "test")]

    def fit(self, examples: Sequence[Any]) -> None:
        """Fit the features to the training examples."""
        for name, feature in self.features.items():
            feature.fit([example[name] for example in examples])

    def encode(self, examples: Sequence[Any]) -> Rows:
        """The examples as columns of tensors."""
        return Rows(self._columns(self.features, examples))

    @staticmethod
    def _columns(features: Mapping[str, Feature], examples: Sequence[Any]) -> dict[str, Column]:
        return {
            name: feature.encode([example[name] for example in examples])
            for name, feature in features.items()
        }

    def generator_options(self) -> dict[str, Any]:
        """The options of a generated data set, beside rows, steps and seed."""
        return {}

    @classmethod
    def prepare(
        cls,
        data: Any,
        model: Any,
        folder: Path | None = None,  # noqa: ARG003 - all is kept in memory, and saved later
        reading: Reading | None = None,
    ) -> Self:
        """Read and divide the rows, fit the features to the training rows, and encode.

        Raises:
            DataError: a file or a row cannot be used, or no row is left.
        """
        task = cls(data, model)
        task.parts = task.rows_by_split()
        if reading:
            for split, rows in task.parts.items():
                reading(split, len(rows), len(rows))
        return task

    def rows_by_split(self) -> dict[str, Rows]:
        """The rows of the data, checked, divided and encoded; the features are fitted to them."""
        source = self.source
        examples = self.divide(source.drawn(self.merged(source.training())))
        if self.data.unique:
            examples = source.unique(examples, self.key)
        for split, some in examples.items():
            if not some:
                raise DataError(f"no {split} row is left{source.why()}")
        self.fit(examples["train"])
        for split in ("valid", "test"):
            if files := getattr(self.data, split):
                examples[split] = self.held_out(source.from_files(files))
        return {split: self.encode(some) for split, some in examples.items()}

    def state_dict(self) -> dict[str, Any]:
        """What the features were fitted to, as JSON."""
        return {name: feature.state_dict() for name, feature in self.features.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Be as after `fit`."""
        for name, feature in self.features.items():
            feature.load_state_dict(state[name])

    def save(self, folder: Path) -> None:
        if not self.features:
            return
        with replacing(folder / "task.json") as file:
            file.write(json.dumps(self.state_dict(), indent=1).encode())
        for split, rows in self.parts.items():
            rows.save(folder / "rows" / f"{split}.safetensors")

    @classmethod
    def restore(cls, folder: Path, data: Any, model: Any) -> Self:
        """The task again, from the folder that `save` wrote.

        Raises:
            CheckpointError: a file in it cannot be read.
        """
        task = cls(data, model)
        path = folder / "task.json"
        try:
            task.load_state_dict(read_json(path))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read: {why(error)}; train again") from error
        except (LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: is not what a run of {cls.name} writes there ({error!r}); train again"
            ) from error
        files = {split: folder / "rows" / f"{split}.safetensors" for split in SPLITS}
        task.parts = {split: Rows.load(file) for split, file in files.items() if lexists(file)}
        return task

    def with_data(self, files: Sequence[Path] = (), rows: int | None = None) -> Self:
        if not self.features:
            return super().with_data(files, rows)
        other = copy(self)
        other.source = copy(self.source)
        other.source.bad, other.source.duplicates = BadRows(self.source.bad.action), 0
        other.batch_rows = rows or self.batch_rows
        if files:
            examples = other.held_out(other.source.from_files(files))
            other.parts = {"test": other.encode(examples)}
        return other

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"rows": {split: len(rows) for split, rows in self.parts.items()}}
        if self.features:
            facts |= self.source.facts()
        for name, feature in self.features.items():
            columns = {split: rows[name] for split, rows in self.parts.items()}
            facts |= feature.facts(columns)
        return facts

    def baseline_metrics(
        self, models: Mapping[str, Callable[[Rows], Metrics]]
    ) -> dict[str, dict[str, Metrics]]:
        """The metrics of simple models, each a function of rows, on all splits but training."""
        held = {split: rows for split, rows in self.parts.items() if split != "train"}
        return {
            name: {split: model(rows) for split, rows in held.items()}
            for name, model in models.items()
        }

    # Rows and batches

    @abstractmethod
    def criterion(self, batch: Any) -> Tensor:
        """The loss of a batch, summed over what `terms` counts."""

    def terms(self, rows: Rows, indices: Tensor) -> int:
        """The number of terms in the loss of those rows: the rows themselves, or their steps."""
        return len(indices)

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.parts)

    def part(self, split: str) -> Rows:
        """The rows of a split.

        Raises:
            DataError: there is no such split.
        """
        if split not in self.parts:
            raise DataError(
                f"there are no {split} rows here, only: {', '.join(self.parts) or 'none'}; "
                "give files to measure on"
            )
        return self.parts[split]

    def batches(self, split: str, epoch: int = 0) -> list[Part]:
        # Large and odd, so that no two seeds share the orders of their epochs.
        seed = (self.seed * 0x9E3779B97F4A7C15 + epoch) % 2**63
        generator = torch.Generator().manual_seed(seed) if split == "train" else None
        return self.batched(self.part(split), generator)

    def batched(self, rows: Rows, generator: torch.Generator | None = None) -> list[Part]:
        """Any rows in batches: sorted by length, or shuffled where there is a generator."""
        order = buckets(self._lengths(rows), self.batch_rows, generator)
        return [self.batch_of(rows, indices) for indices in order]

    def batch_of(self, rows: Rows, indices: Tensor) -> Part:
        """Those of the rows as a batch."""
        return Part(rows, indices, self.terms(rows, indices), self.device)

    def longest_rows(self, split: str, count: int) -> Part:
        """The longest rows of a split as a batch, the longest first."""
        rows = self.part(split)
        order = self._lengths(rows).argsort(descending=True, stable=True)
        return self.batch_of(rows, order[:count])

    def _lengths(self, rows: Rows) -> Tensor:
        if self.sort_by not in rows.columns:
            return torch.ones(len(rows))
        lengths = rows.lengths(self.sort_by)
        most = getattr(self.inputs.get(self.sort_by), "max_length", None)
        return lengths if most is None else lengths.clamp(max=most)

    def lengths(self) -> list[int]:
        return [1] * -(-len(self.part("train")) // self.batch_rows)

    def loss(
        self, batch: Part, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        return self.criterion(batch), None

    def in_order(self, rows: Rows, answers: Callable[[Any], Sequence[Answer]]) -> list[Answer]:
        """A function of batches, applied to all rows; its values in the order of the rows.

        It runs without dropout and gradients.
        """
        values: dict[int, Answer] = {}
        with evaluating(self.network):
            for batch in self.batched(rows):
                values |= zip(batch.indices.tolist(), answers(batch), strict=True)
        return [values[row] for row in range(len(rows))]

    def inputs_of(self, rows: Rows) -> Iterator[tuple[int, str]]:
        """Evenly spaced rows, as their place and what the network reads there."""
        count = min(SAMPLES, len(rows))
        for place in ((2 * i + 1) * len(rows) // (2 * count) for i in range(count)):
            row = rows.select(torch.tensor([place]))
            texts = []
            for name, feature in self.inputs.items():
                column = row[name]
                values = column.values if isinstance(column, Ragged) else column
                texts.append(" ".join(feature.text_of(values).split()))
            text = "; ".join(texts)
            yield (
                place,
                text if len(text) <= LONGEST_SAMPLE else f"{text[: LONGEST_SAMPLE - 4]} ...",
            )

    # Answers to rows without a target

    def accepts(self, path: Path) -> bool:
        """Whether `rows_of` reads such a file; any other has one text a line."""
        return bool(set(path.suffixes) & set(TABLE_FORMATS)) or is_idx(path)

    def row_of(self, text: str) -> Mapping[str, Any]:
        """A row that has only this text.

        Raises:
            ConfigError: the rows are not texts.
        """
        for feature in self.inputs.values():
            if (row := feature.row_of(text)) is not None:
                return row
        raise ConfigError(f"{self.name} reads no texts here: give a table with --input")

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        """The rows of a file, which need no target."""
        columns = [column for feature in self.inputs.values() for column in feature.columns]
        for place, values in self.source.tables([path], columns):
            with self.source.bad.place(place):
                for feature in self.inputs.values():
                    feature.parse(values)
                yield values

    def continuation(self) -> Iterator[Mapping[str, Any]]:
        """The rows to predict where none are given; a ConfigError unless a task goes on itself."""
        raise ConfigError("nothing to predict from: give --text TEXT or --input FILE")

    def input_rows(self, rows: Iterable[Mapping[str, Any]]) -> Rows:
        """Rows without a target, encoded.

        Raises:
            DataError: a row lacks a column, or its value cannot be used.
        """
        examples = [
            {name: feature.parse(values) for name, feature in self.inputs.items()}
            for values in rows
        ]
        return Rows(self._columns(self.inputs, examples))

    def answers(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The network's answer to each row: its columns, unknown words, and the prediction.

        Raises:
            DataError: a row lacks a column, or its value cannot be used.
        """
        read = list(rows)
        return [
            beside(values, {**self._unknown(values), **prediction})
            for values, prediction in zip(read, self.answer(self.input_rows(read)), strict=True)
        ]

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """The prediction for each row, by name, for people and for JSON."""
        raise NotImplementedError

    def _unknown(self, values: Mapping[str, Any]) -> dict[str, Any]:
        for feature in self.inputs.values():
            words = feature.unknown(feature.parse(values))
            if words is not None:
                return {"unknown": words}
        return {}

    def plots_of(self, rows: Iterable[Mapping[str, Any]]) -> list[Picture]:
        """A picture of the answer to each row, if there is something to draw."""
        return []

    def excerpt(self, rows: int, text: str | None = None) -> Excerpt:
        table = self.part("valid") if text is None else self.text_rows(text)
        chosen = torch.arange(min(rows, len(table)))
        names = [self.step_names(table, row) for row in chosen.tolist()]
        return Excerpt(self.batch_of(table, chosen), names if any(names) else ())

    def text_rows(self, text: str) -> Rows:
        """A text as a row. Its target is that of a validation row: only what is read matters."""
        if not self.features:
            raise ConfigError(f"{self.name} reads no texts here: leave the text out")
        columns = self.input_rows([self.row_of(text)]).columns
        first = self.part("valid").take(torch.tensor([0]))
        return Rows({**columns, **{name: first[name] for name in self.targets}})

    def step_names(self, rows: Rows, row: int) -> Mapping[str, Sequence[str]]:
        """What each step of a row is, as text; see `Excerpt`."""
        values = rows.take(torch.tensor([row]))
        names = {name: feature.step_names(values[name][0]) for name, feature in self.inputs.items()}
        first = next(iter(names.values()), [])
        return {"": first} if first else {}
