"""What tasks share that read one sequence and make one vector of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.baselines import has_scikit_learn
from elman.data import Ragged, Rows, crop, read_table
from elman.tasks._answers import beside
from elman.tasks._inputs import Text, read_input
from elman.tasks._sequence_config import SequenceData, SequenceNet
from elman.tasks._sequence_net import SequenceNetwork
from elman.tasks._supervised import Part
from elman.tasks._table import TableTask


class Example(NamedTuple):
    """A sequence, and what is to be learned from it."""

    sequence: Any
    target: Any


class SequenceTask(TableTask):
    """A sequence in, text or numbers; one answer out.

    A subclass gives `parse_target`, `learn_targets`, `encode_targets`, `outputs` and `criterion`.
    Rows are kept whole; the network reads `max_length` steps of them.
    """

    sort_by = "x"
    data: SequenceData
    model: SequenceNet
    network: SequenceNetwork

    def __init__(self, data: SequenceData, model: SequenceNet) -> None:
        super().__init__(data, model)
        self.input = read_input(data, model)
        self.longest = 1

    def parse_target(self, values: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def learn_targets(self, targets: Sequence[Any]) -> None:
        raise NotImplementedError

    def encode_targets(self, targets: Sequence[Any]) -> Tensor:
        raise NotImplementedError

    @property
    def outputs(self) -> int:
        """Numbers that come out of the network."""
        raise NotImplementedError

    def parse(self, values: Mapping[str, Any]) -> Example:
        return Example(self.input.parse(values), self.parse_target(values))

    def key(self, example: Example) -> Any:
        return self.input.key(example.sequence)

    def learn(self, examples: Sequence[Example]) -> None:
        sequences, targets = zip(*examples, strict=True)
        self.input.learn(sequences)
        self.learn_targets(targets)
        lengths = self.input.encode(sequences).lengths
        self.longest = min(self.data.max_length, int(lengths.max()))

    def encode(self, examples: Sequence[Example]) -> Rows:
        sequences, targets = zip(*examples, strict=True)
        return Rows({"x": self.input.encode(sequences), "y": self.encode_targets(targets)})

    def learned(self) -> dict[str, Any]:
        return {"input": self.input.learned(), "longest": self.longest}

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.input.recall(learned["input"])
        self.longest = learned["longest"]

    def build(self) -> SequenceNetwork:
        return SequenceNetwork(self.input.layer(self.model), self.model, self.outputs, self.longest)

    def facts(self) -> dict[str, Any]:
        most = self.data.max_length
        longer = {s: int((rows.lengths("x") > most).sum()) for s, rows in self.parts.items()}
        facts = super().facts()
        if any(longer.values()):
            facts["longer"] = {"than": most, "read": self.data.keep, **longer}
        if isinstance(self.input, Text):
            facts["vocabulary"] = len(self.input.vocabulary)
            if self.input.vectors is not None:
                facts["with_vector"] = int(self.input.vectors.mask.sum())
        if not has_scikit_learn():
            facts["baselines"] = 'fewer: scikit-learn is not installed: pip install "elman[data]"'
        return facts

    def _lengths(self, rows: Rows) -> Tensor:
        return rows.lengths("x").clamp(max=self.data.max_length)

    def scores(self, batch: Part) -> Tensor:
        """What the network says of a batch: (rows, outputs)."""
        columns = batch.columns()
        tail = self.data.keep == "tail"
        x = crop(columns["x"], columns["x_lengths"], self.data.max_length, tail=tail)
        scores: Tensor = self.network(*x)
        return scores

    def all_scores(self, rows: Rows) -> Tensor:
        """The scores of all rows in their order, on the CPU."""
        return torch.stack(self.in_order(rows, lambda part: list(self.scores(part).cpu())))

    def row_of(self, text: str) -> Mapping[str, Any]:
        if not isinstance(self.input, Text):
            return super().row_of(text)
        values = {self.data.text or "": text}
        self.input.parse(values)
        return values

    def rows_of(self, path: Path) -> Iterator[Mapping[str, Any]]:
        data = self.data
        wanted = self.input.wanted()
        options: Any = {"names": data.columns, "encoding": data.encoding}
        for place, values in read_table(path, wanted, self.bad, **options):
            with self.bad.caught(place):
                self.input.parse(values)
                yield values

    def sequences(self, given: Iterable[Mapping[str, Any]]) -> Rows:
        """Rows to be answered, from values that need no target."""
        return Rows({"x": self.input.encode([self.input.parse(values) for values in given])})

    def text_rows(self, text: str) -> Rows:
        (target,) = self.part("valid").take(torch.tensor([0]))["y"]
        return Rows({**self.sequences([self.row_of(text)]).columns, "y": target[None]})

    def words_of(self, rows: Rows) -> dict[str, list[str]]:
        if not isinstance(self.input, Text):
            return {}
        read = rows.take(torch.tensor([0]))["x"][0].tolist()
        most = self.data.max_length
        kept = read[-most:] if self.data.keep == "tail" else read[:most]
        return {"": [self.input.vocabulary.token(index) for index in kept]}

    def answered(self, values: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
        """A row, of a text the words that are not known, and what is said of it."""
        if isinstance(self.input, Text):
            unknown = self.input.vocabulary.unknown(self.input.parse(values))
            said = {"unknown": unknown, **said}
        return beside(values, said)


def flat(rows: Rows, steps: int) -> NDArray[np.float64]:
    """The first steps of each row of numbers side by side, filled up with zeros."""
    column = rows["x"]
    assert isinstance(column, Ragged)
    batch, lengths = column.padded(torch.arange(len(rows)))
    batch, _ = crop(batch, lengths, steps)
    full = batch.new_zeros(len(rows), steps, *batch.shape[2:])
    full[:, : batch.shape[1]] = batch
    return full.flatten(1).double().numpy()


def words(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All tokens end to end, and how many each row has."""
    column = rows["x"]
    assert isinstance(column, Ragged)
    return column.values.long().numpy(), column.lengths.numpy()
