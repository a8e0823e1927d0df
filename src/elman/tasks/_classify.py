"""Classification: which of a few labels a text, or a series of numbers, has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from elman import metrics as measure
from elman.baselines import BagOfWords, Linear, TfidfLogistic, has_scikit_learn
from elman.data import BadValue, Rows
from elman.tasks._base import BY_LENGTH, Metrics, Table
from elman.tasks._classify_config import ClassifyData, ClassifyNet
from elman.tasks._inputs import Text
from elman.tasks._sequence import Example, SequenceTask, flat, words
from elman.tasks._sequence_net import SequenceNetwork
from elman.tasks._supervised import Part

SHOWN_LABELS = 20
"""A confusion matrix of more labels is no picture; it is left out."""

LENGTHS = 6
"""Groups of rows by length whose accuracy is shown."""


class Classify(SequenceTask):
    r"""Many to one: a label for a whole sequence, and how sure the network is.

    .. math:: L = -\frac1N \sum_b \ln p(y_b \mid x_b), \qquad p = \mathrm{softmax}(z / \tau)

    :math:`\tau` is 1 in training and is then fitted on the validation rows, so that probabilities
    mean what they say. Make one with `prepare`, train it with `elman.training.fit`, get it back
    with `elman.load`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp(), "small.csv")
        >>> rows = ["text,label"] + [f"good {i},yes\nbad {i},no" for i in range(20)]
        >>> _ = file.write_text("\n".join(rows))
        >>> task = Classify.prepare(ClassifyData(train=[file]), ClassifyNet(hidden=4))
        >>> task.labels, task.facts()["rows"]
        (['no', 'yes'], {'train': 32, 'valid': 4, 'test': 4})
        >>> task.network = task.build()
        >>> [answer] = task.answers([{"text": "good"}])
        >>> sorted(answer["probabilities"])
        ['no', 'yes']

    References:
        Guo et al. 2017, "On calibration of modern neural networks", for the temperature.
    """

    name: ClassVar[str] = "classify"
    suits: ClassVar[str] = "classify"
    data: ClassifyData

    def __init__(self, data: ClassifyData, model: ClassifyNet) -> None:
        super().__init__(data, model)
        self.labels: list[str] = []

    def wanted(self) -> list[str]:
        return [*self.input.wanted(), self.data.label]

    def parse_target(self, values: Mapping[str, Any]) -> str:
        value = values[self.data.label]
        label = "" if value is None else str(value).strip()
        if not label:
            raise BadValue(self.data.label, "a label was expected, got none")
        if self.known and label not in self.labels:
            raise BadValue(
                self.data.label, f"{label!r} was not in training: {', '.join(self.labels[:20])}"
            )
        return label

    def stratum(self, example: Example) -> str:
        return str(example.target)

    def learn_targets(self, targets: Sequence[str]) -> None:
        self.labels = sorted(set(targets))
        if len(self.labels) < 2:
            raise BadValue(self.data.label, f"at least two labels are needed, got {self.labels}")

    def encode_targets(self, targets: Sequence[str]) -> Tensor:
        numbers = {label: number for number, label in enumerate(self.labels)}
        return torch.tensor([numbers[label] for label in targets])

    @property
    def outputs(self) -> int:
        return len(self.labels)

    def learned(self) -> dict[str, Any]:
        return {**super().learned(), "labels": self.labels}

    def recall(self, learned: Mapping[str, Any]) -> None:
        super().recall(learned)
        self.labels = list(learned["labels"])

    def build(self) -> SequenceNetwork:
        network = super().build()
        network.register_buffer("temperature", torch.ones(()))
        return network

    def criterion(self, batch: Part) -> Tensor:
        target = batch.columns()["y"]
        return F.cross_entropy(self.scores(batch), target, reduction="sum")

    def settle(self) -> bool:
        """Fit the temperature on the validation rows."""
        if "valid" in self.parts:
            rows = self.parts["valid"]
            fitted = measure.temperature(self.all_scores(rows), _target(rows))
            self.network.get_buffer("temperature").fill_(fitted)
        return "valid" in self.parts

    def probabilities(self, rows: Rows) -> Tensor:
        """P(label | sequence) of all rows in their order: (rows, labels) float64."""
        temperature = float(self.network.get_buffer("temperature"))
        return (self.all_scores(rows).double() / temperature).softmax(-1)

    def evaluate(self, split: str) -> Metrics:
        rows = self.part(split)
        return measured(self.probabilities(rows), _target(rows))

    def score(self, metrics: Metrics) -> float:
        return -metrics["accuracy"]

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The label and all probabilities of rows that need no label, each beside its columns.

        The sequence is in the column that ``data.text`` or ``data.series`` names: ``{"text": ...}``
        unless it was trained on another.

        Raises:
            DataError: a row has no such column, or no sequence in it.
        """
        rows = list(given)
        return [
            self.answered(
                values,
                {
                    "label": self.labels[int(p.argmax())],
                    "probabilities": dict(zip(self.labels, p.tolist(), strict=True)),
                },
            )
            for values, p in zip(rows, self.probabilities(self.sequences(rows)), strict=True)
        ]

    def tables(self, split: str) -> list[Table]:
        rows = self.part(split)
        tables, predicted = [], self.probabilities(rows).argmax(-1)
        if len(self.labels) <= SHOWN_LABELS:
            matrix = measure.confusion(predicted, _target(rows), len(self.labels)).tolist()
            counts = [[label, *row] for label, row in zip(self.labels, matrix, strict=True)]
            tables.append(Table("true label, taken for", ["", *self.labels], counts))
        if int(rows.lengths("x").min()) < int(rows.lengths("x").max()):
            tables.append(_by_length(rows, predicted))
        if self.data.contrast:
            tables.append(self._contrast())
        return tables

    def _contrast(self) -> Table:
        """Texts of the same words: what order tells, beside a model that has none."""
        rows = self.sequences([{self.data.text or "": text} for text in self.data.contrast])
        ours = self.probabilities(rows)
        columns = ["text", "answer", "probability"]
        texts = self.data.contrast
        found = [[text, *self._likeliest(p)] for text, p in zip(texts, ours, strict=True)]
        if "train" in self.parts:
            bag = torch.from_numpy(self._bag().probabilities(*words(rows)))
            columns += ["bag_of_words", "its probability"]
            found = [[*row, *self._likeliest(p)] for row, p in zip(found, bag, strict=True)]
        return Table("the order of words", columns, found)

    def _likeliest(self, probabilities: Tensor) -> list[str | float]:
        return [self.labels[int(probabilities.argmax())], float(probabilities.max())]

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The most frequent label; and models without order: of words, or of numbers by place."""
        train, target = self.parts["train"], _target(self.parts["train"])
        share = torch.bincount(target, minlength=len(self.labels)).double() / len(target)
        models: dict[str, Any] = {"most_frequent": lambda rows: share.expand(len(rows), -1)}
        if isinstance(self.input, Text):
            bag = self._bag()
            models["bag_of_words"] = lambda rows: bag.probabilities(*words(rows))
            if has_scikit_learn():
                tfidf = TfidfLogistic(*words(train), target.numpy(), len(self.input.vocabulary))
                models["tfidf_logistic"] = lambda rows: tfidf.probabilities(*words(rows))
        elif has_scikit_learn():
            linear = Linear(flat(train, self.longest), target.numpy(), classes=True)
            models["logistic"] = lambda rows: linear.probabilities(flat(rows, self.longest))
        measured_on = {s: rows for s, rows in self.parts.items() if s != "train"}
        return {
            name: {
                split: measured(torch.as_tensor(np.asarray(model(rows))), _target(rows))
                for split, rows in measured_on.items()
            }
            for name, model in models.items()
        }

    def _bag(self) -> BagOfWords:
        train = self.parts["train"]
        assert isinstance(self.input, Text)
        size = len(self.input.vocabulary)
        return BagOfWords(*words(train), _target(train).numpy(), size, len(self.labels))


def _by_length(rows: Rows, predicted: Tensor) -> Table:
    """Accuracy of short and of long rows, in about equally large groups."""
    right = predicted == _target(rows)
    lengths = rows.lengths("x")
    order = lengths.sort().values
    cuts = order[torch.linspace(0, len(order) - 1, LENGTHS + 1).long()].tolist()
    alone = [cut + 1 for cut, again in pairwise(cuts) if again == cut]  # as many have as a group
    found: list[list[str | float | int]] = []
    for low, high in pairwise(sorted({*cuts[:-1], *alone, cuts[-1] + 1})):
        some = (lengths >= low) & (lengths < high)
        if not some.any():
            continue
        share = float(right[some].double().mean())
        group = f"{low} to {high - 1}" if high - low > 1 else str(low)
        found.append([group, int(some.sum()), share])
    return Table(BY_LENGTH, ["steps", "rows", "accuracy"], found)


def measured(probabilities: Tensor, target: Tensor) -> Metrics:
    """Accuracy, macro-F1, nats and calibration error of probabilities (rows, labels)."""
    predicted = probabilities.argmax(-1)
    matrix = measure.confusion(predicted, target, probabilities.shape[-1])
    right = probabilities.gather(-1, target.unsqueeze(-1))
    return {
        "accuracy": measure.accuracy(predicted, target),
        "macro_f1": measure.macro_f1(matrix),
        "nats": -float(right.clamp(min=1e-300).log().mean()),
        "calibration_error": measure.calibration_error(probabilities, target),
    }


def _target(rows: Rows) -> Tensor:
    target = rows["y"]
    assert isinstance(target, Tensor)
    return target
