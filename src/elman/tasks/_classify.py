"""Classification: which of a few labels a text, or a series of numbers, has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from elman import metrics as measure
from elman.baselines import BagOfWords, Linear, TfidfLogistic, has_scikit_learn
from elman.data import Rows
from elman.metrics import Metric
from elman.tasks._classify_config import ClassifyData, ClassifyNet
from elman.tasks._features import Labels
from elman.tasks._sequence_net import SequenceNetwork
from elman.tasks._sequences import Text, flat, sequence_feature, token_lists
from elman.tasks._supervised import Part, Supervised
from elman.tasks._task import Metrics, Table

MOST_LABELS = 20
"""A confusion matrix of more labels is left out."""

LENGTHS = 6
"""Groups of rows in the table of accuracy by length."""


class Probabilities(NamedTuple):
    """The network's predictions for a split.

    Attributes:
        rows: the rows of the split.
        probabilities: P(label | sequence) of each (rows, labels), float64.
        contrast: the same of the texts of ``data.contrast`` (texts, labels).
    """

    rows: Rows
    probabilities: Tensor
    contrast: Tensor


class Classify(Supervised):
    r"""Many to one: a label for a whole sequence, and how sure the network is.

    .. math:: L = -\frac1N \sum_b \ln p(y_b \mid x_b), \qquad p = \mathrm{softmax}(z / \tau)

    :math:`\tau` is 1 in training and is then fitted on the validation rows, so that probabilities
    are calibrated. Make one with `prepare`, train it with `elman.training.fit`, load it with
    `elman.load`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp(), "small.csv")
        >>> rows = ["text,label"] + [f"good {i},yes\nbad {i},no" for i in range(20)]
        >>> _ = file.write_text("\n".join(rows))
        >>> task = Classify.prepare(ClassifyData(train=[file]), ClassifyNet(hidden=4))
        >>> task.labels, task.facts()["rows"]
        (['no', 'yes'], {'train': 32, 'valid': 4, 'test': 4})
        >>> [answer] = task.answers([{"text": "good"}])
        >>> sorted(answer["probabilities"])
        ['no', 'yes']

    References:
        Guo et al. 2017, "On calibration of modern neural networks", for the temperature.
    """

    name: ClassVar[str] = "classify"
    metric = Metric("accuracy", higher_is_better=True)
    sort_by = "x"
    network: SequenceNetwork

    def __init__(self, data: ClassifyData, model: ClassifyNet) -> None:
        self.input, self.label = sequence_feature(data, model), Labels(data.label)
        super().__init__(data, model, inputs={"x": self.input}, targets={"y": self.label})

    @property
    def labels(self) -> list[str]:
        return self.label.labels

    def stratum(self, example: Mapping[str, Any]) -> str:
        return str(example["y"])

    def build(self) -> SequenceNetwork:
        first, steps = self.input.layer(self.model), self.input.longest
        network = SequenceNetwork(first, self.model, len(self.labels), steps)
        network.register_buffer("temperature", torch.ones(()))
        return network

    def scores(self, batch: Part) -> Tensor:
        """The network's scores for a batch (rows, labels)."""
        columns = batch.columns()
        scores: Tensor = self.network(*self.input.read(columns["x"], columns["x_lengths"]))
        return scores

    def all_scores(self, rows: Rows) -> Tensor:
        """The scores of all rows in their order, on the CPU."""
        return torch.stack(self.in_order(rows, lambda batch: list(self.scores(batch).cpu())))

    def criterion(self, batch: Part) -> Tensor:
        return F.cross_entropy(self.scores(batch), batch.columns()["y"], reduction="sum")

    def calibrate(self) -> bool:
        """Fit the temperature on the validation rows."""
        if "valid" in self.parts:
            rows = self.parts["valid"]
            temperature = measure.temperature(self.all_scores(rows), rows.tensor("y"))
            self.network.get_buffer("temperature").fill_(temperature)
        return "valid" in self.parts

    def probabilities(self, rows: Rows) -> Tensor:
        """P(label | sequence) of all rows in their order: (rows, labels) float64."""
        temperature = float(self.network.get_buffer("temperature"))
        return (self.all_scores(rows).double() / temperature).softmax(-1)

    def predict(self, split: str) -> Probabilities:
        rows = self.part(split)
        contrast = torch.zeros(0, len(self.labels))
        if self.data.contrast:
            contrast = self.probabilities(self._contrast())
        return Probabilities(rows, self.probabilities(rows), contrast)

    def metrics(self, predictions: Probabilities) -> Metrics:
        return measured(predictions.probabilities, predictions.rows.tensor("y"))

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """The label, and the probability of each."""
        return [
            {
                "label": self.labels[int(p.argmax())],
                "probabilities": dict(zip(self.labels, p.tolist(), strict=True)),
            }
            for p in self.probabilities(rows)
        ]

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), **missing_baselines()}

    def tables(self, predictions: Probabilities) -> list[Table]:
        rows = predictions.rows
        tables, predicted = [], predictions.probabilities.argmax(-1)
        if len(self.labels) <= MOST_LABELS:
            matrix = measure.confusion(predicted, rows.tensor("y"), len(self.labels)).tolist()
            counts = [[label, *row] for label, row in zip(self.labels, matrix, strict=True)]
            tables.append(Table("true label, taken for", ["", *self.labels], counts))
        if int(rows.lengths("x").min()) < int(rows.lengths("x").max()):
            tables.append(_by_length(rows, predicted))
        if self.data.contrast:
            tables.append(self._order_of_words(predictions.contrast))
        return tables

    def samples(self, predictions: Probabilities) -> Table:
        rows, probabilities, _ = predictions
        target = rows.tensor("y").tolist()
        columns = ["input", "prediction", "probability", "target"]
        cells = [
            [text, *self._likeliest(probabilities[i]), self.labels[target[i]]]
            for i, text in self.inputs_of(rows)
        ]
        return Table("samples", columns, cells)

    def _contrast(self) -> Rows:
        return self.input_rows([{self.data.text: text} for text in self.data.contrast])

    def _order_of_words(self, probabilities: Tensor) -> Table:
        """Texts with the same words in another order, beside a model that has no order."""
        columns = ["text", "answer", "probability"]
        texts = self.data.contrast
        cells = [[text, *self._likeliest(p)] for text, p in zip(texts, probabilities, strict=True)]
        if "train" in self.parts:
            bag = torch.from_numpy(self._bag().probabilities(*token_lists(self._contrast())))
            columns += ["bag_of_words", "its probability"]
            cells = [[*row, *self._likeliest(p)] for row, p in zip(cells, bag, strict=True)]
        return Table("the order of words", columns, cells)

    def _likeliest(self, probabilities: Tensor) -> list[str | float]:
        return [self.labels[int(probabilities.argmax())], float(probabilities.max())]

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The most frequent label; and models without order: of words, or of numbers by place."""
        train, target = self.parts["train"], self.parts["train"].tensor("y")
        share = torch.bincount(target, minlength=len(self.labels)).double() / len(target)
        models: dict[str, Any] = {"most_frequent": lambda rows: share.expand(len(rows), -1)}
        if isinstance(self.input, Text):
            bag = self._bag()
            models["bag_of_words"] = lambda rows: bag.probabilities(*token_lists(rows))
            if has_scikit_learn():
                words, size = token_lists(train), len(self.input.tokens)
                tfidf = TfidfLogistic(*words, target.numpy(), size)
                models["tfidf_logistic"] = lambda rows: tfidf.probabilities(*token_lists(rows))
        elif has_scikit_learn():
            steps = self.input.longest
            linear = Linear(flat(train, steps), target.numpy(), classes=True)
            models["logistic"] = lambda rows: linear.probabilities(flat(rows, steps))

        def measure_of(model: Any, rows: Rows) -> Metrics:
            return measured(torch.as_tensor(np.asarray(model(rows))), rows.tensor("y"))

        return self.baseline_metrics(
            {name: partial(measure_of, model) for name, model in models.items()}
        )

    def _bag(self) -> BagOfWords:
        train = self.parts["train"]
        assert isinstance(self.input, Text)
        size = len(self.input.tokens)
        return BagOfWords(*token_lists(train), train.tensor("y").numpy(), size, len(self.labels))


def missing_baselines() -> dict[str, str]:
    """A fact, where baselines are missing for the lack of a package."""
    if has_scikit_learn():
        return {}
    return {"baselines": 'fewer: scikit-learn is not installed: pip install "elman[data]"'}


def _by_length(rows: Rows, predicted: Tensor) -> Table:
    """Accuracy of short and of long rows, in groups of about the same size."""
    right = predicted == rows.tensor("y")
    lengths = rows.lengths("x")
    order = lengths.sort().values
    cuts = order[torch.linspace(0, len(order) - 1, LENGTHS + 1).long()].tolist()
    alone = [cut + 1 for cut, again in pairwise(cuts) if again == cut]  # as many have as a group
    groups: list[list[str | float | int]] = []
    for low, high in pairwise(sorted({*cuts[:-1], *alone, cuts[-1] + 1})):
        some = (lengths >= low) & (lengths < high)
        if not some.any():
            continue
        share = float(right[some].double().mean())
        group = f"{low} to {high - 1}" if high - low > 1 else str(low)
        groups.append([group, int(some.sum()), share])
    return Table("by length", ["steps", "rows", "accuracy"], groups, by_length=True)


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
