"""Regression: which number belongs to a text, or to a series of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from elman.baselines import Linear, has_scikit_learn
from elman.data import BadValue, Rows
from elman.tasks._base import Metrics
from elman.tasks._inputs import Series
from elman.tasks._regress_config import RegressData, RegressNet
from elman.tasks._sequence import SequenceTask, flat
from elman.tasks._supervised import Part


class Regress(SequenceTask):
    r"""Many to one: a number for a whole sequence.

    .. math:: L = \frac1N \sum_b \Big(\frac{y_b - \hat y_b}{\sigma}\Big)^2, \qquad
        \hat y_b = \mu + \sigma f(x_b)

    :math:`\mu` and :math:`\sigma` are those of the training targets with ``data.standardize``, else
    0 and 1. Metrics are in the targets' own unit.

    Example:
        >>> task = Regress.prepare(RegressData(rows=50, steps=9), RegressNet(hidden=4))
        >>> task.network = task.build()
        >>> sorted(task.evaluate("test"))
        ['mse', 'rmse']

    References:
        Hochreiter & Schmidhuber 1997, "Long short-term memory", for the adding problem.
    """

    name: ClassVar[str] = "regress"
    suits: ClassVar[str] = "regress"
    unit: ClassVar[str] = "mse"
    data: RegressData

    def __init__(self, data: RegressData, model: RegressNet) -> None:
        super().__init__(data, model)
        self.middle, self.spread = 0.0, 1.0

    @property
    def outputs(self) -> int:
        return 1

    def wanted(self) -> list[str]:
        return [*self.input.wanted(), self.data.target]

    def parse_target(self, values: Mapping[str, Any]) -> float:
        value = values[self.data.target]
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise BadValue(self.data.target, f"a finite number was expected, got {value!r:.80}")
        return number

    def learn_targets(self, targets: Sequence[float]) -> None:
        if self.data.standardize:
            y = torch.tensor(targets, dtype=torch.float64)
            self.middle = float(y.mean())
            self.spread = float(y.std(correction=0)) or 1.0

    def encode_targets(self, targets: Sequence[float]) -> Tensor:
        return torch.tensor(targets, dtype=torch.float64)

    def learned(self) -> dict[str, Any]:
        return {**super().learned(), "middle": self.middle, "spread": self.spread}

    def recall(self, learned: Mapping[str, Any]) -> None:
        super().recall(learned)
        self.middle, self.spread = learned["middle"], learned["spread"]

    def criterion(self, batch: Part) -> Tensor:
        target = (batch.columns()["y"] - self.middle) / self.spread
        return (self.scores(batch)[:, 0] - target.float()).square().sum()

    def numbers(self, rows: Rows) -> Tensor:
        """What the network says of all rows in their order, in the targets' unit: float64."""
        return self.middle + self.spread * self.all_scores(rows)[:, 0].double()

    def evaluate(self, split: str) -> Metrics:
        rows = self.part(split)
        return _measured(self.numbers(rows), rows)

    def score(self, metrics: Metrics) -> float:
        return metrics["mse"]

    def answers(self, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A number for each row, which needs no target, beside its columns.

        The sequence is in the column that ``data.series`` or ``data.text`` names.

        Raises:
            DataError: a row has no such column, or no sequence in it.
        """
        rows = list(given)
        found = self.numbers(self.sequences(rows)).tolist()
        return [
            self.answered(values, {"number": number})
            for values, number in zip(rows, found, strict=True)
        ]

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """The mean of the training targets; ridge regression on the numbers by place."""
        train = self.parts["train"]
        target = _target(train)
        models: dict[str, Any] = {"mean": lambda rows: target.mean().expand(len(rows))}
        if has_scikit_learn() and isinstance(self.input, Series):
            linear = Linear(flat(train, self.longest), target.numpy(), classes=False)
            models["linear"] = lambda rows: torch.from_numpy(
                linear.numbers(flat(rows, self.longest))
            )
        return {
            name: {
                split: _measured(model(rows), rows)
                for split, rows in self.parts.items()
                if split != "train"
            }
            for name, model in models.items()
        }


def _measured(numbers: Tensor, rows: Rows) -> Metrics:
    mse = float((numbers - _target(rows)).square().mean())
    return {"mse": mse, "rmse": math.sqrt(mse)}


def _target(rows: Rows) -> Tensor:
    target = rows["y"]
    assert isinstance(target, Tensor)
    return target
