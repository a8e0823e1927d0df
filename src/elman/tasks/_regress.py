"""Regression: which number belongs to a text, or to a series of numbers."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from elman.baselines import Linear, has_scikit_learn
from elman.data import Rows
from elman.metrics import Metric
from elman.tasks._classify import missing_baselines
from elman.tasks._features import Number
from elman.tasks._regress_config import RegressData, RegressNet
from elman.tasks._sequence_net import SequenceNetwork
from elman.tasks._sequences import Series, flat, sequence_feature
from elman.tasks._supervised import Part, Supervised
from elman.tasks._task import Metrics, Table


class Numbers(NamedTuple):
    """The rows of a split, and the network's number for each (rows,), float64."""

    rows: Rows
    numbers: Tensor


class Regress(Supervised):
    r"""Many to one: a number for a whole sequence.

    .. math:: L = \frac1N \sum_b \Big(\frac{y_b - \hat y_b}{\sigma}\Big)^2, \qquad
        \hat y_b = \mu + \sigma f(x_b)

    :math:`\mu` and :math:`\sigma` are those of the training targets with ``data.standardize``, else
    0 and 1. Metrics are in the unit of the targets.

    Example:
        >>> task = Regress.prepare(RegressData(rows=50, steps=9), RegressNet(hidden=4))
        >>> sorted(task.evaluate("test"))
        ['mse', 'rmse']

    References:
        Hochreiter & Schmidhuber 1997, "Long short-term memory", for the adding problem.
    """

    name: ClassVar[str] = "regress"
    unit: ClassVar[str] = "mse"
    metric = Metric("mse")
    sort_by = "x"
    network: SequenceNetwork

    def __init__(self, data: RegressData, model: RegressNet) -> None:
        self.input = sequence_feature(data, model)
        self.number = Number(data.target, standardize=bool(data.standardize))
        super().__init__(data, model, inputs={"x": self.input}, targets={"y": self.number})

    def build(self) -> SequenceNetwork:
        return SequenceNetwork(self.input.layer(self.model), self.model, 1, self.input.longest)

    def outputs(self, batch: Part) -> Tensor:
        """The network's number for each row of a batch, standardized."""
        columns = batch.columns()
        outputs: Tensor = self.network(*self.input.read(columns["x"], columns["x_lengths"]))
        return outputs[:, 0]

    def criterion(self, batch: Part) -> Tensor:
        target = (batch.columns()["y"] - self.number.mean) / self.number.deviation
        return (self.outputs(batch) - target.float()).square().sum()

    def numbers(self, rows: Rows) -> Tensor:
        """The network's number for each row, in the unit of the targets: float64."""
        outputs = self.in_order(rows, lambda batch: list(self.outputs(batch).cpu()))
        return self.number.mean + self.number.deviation * torch.stack(outputs).double()

    def predict(self, split: str) -> Numbers:
        rows = self.part(split)
        return Numbers(rows, self.numbers(rows))

    def metrics(self, predictions: Numbers) -> Metrics:
        return _measured(predictions.numbers, predictions.rows)

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """The number."""
        return [{"number": number} for number in self.numbers(rows).tolist()]

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), **missing_baselines()}

    def samples(self, predictions: Numbers) -> Table:
        numbers, target = predictions.numbers.tolist(), predictions.rows.tensor("y").tolist()
        cells = [[text, numbers[i], target[i]] for i, text in self.inputs_of(predictions.rows)]
        return Table("samples", ["input", "prediction", "target"], cells)

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The mean of the training targets; ridge regression on the numbers by place."""
        train = self.parts["train"]
        target = train.tensor("y")
        models: dict[str, Any] = {"mean": lambda rows: target.mean().expand(len(rows))}
        if has_scikit_learn() and isinstance(self.input, Series):
            steps = self.input.longest
            linear = Linear(flat(train, steps), target.numpy(), classes=False)
            models["linear"] = lambda rows: torch.from_numpy(linear.numbers(flat(rows, steps)))

        def errors(model: Any, rows: Rows) -> Metrics:
            return _measured(model(rows), rows)

        return self.baseline_metrics(
            {name: partial(errors, model) for name, model in models.items()}
        )


def _measured(numbers: Tensor, rows: Rows) -> Metrics:
    mse = float((numbers - rows.tensor("y")).square().mean())
    return {"mse": mse, "rmse": math.sqrt(mse)}
