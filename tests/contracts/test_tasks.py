"""Every task keeps every contract, and for every contract a broken task that fails it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from elman import testing
from elman.cells import GRU
from elman.data import Note, Ragged, Rows, write_midi
from elman.layers import Recurrent
from elman.metrics import Metric
from elman.tasks import (
    TASKS,
    Excerpt,
    Predictions,
    Regress,
    RegressData,
    RegressNet,
    Supervised,
    Table,
    Task,
    by_name,
    sections,
)
from elman.testing import TASK_CONTRACTS, ContractError, MakeTask, TaskContract

LINES = "the cat sat on the mat .\nthe dog lay on the log .\n"

SMALL: dict[str, dict[str, Any]] = {
    "classify": {"name": "parity", "rows": 40, "steps": 5},
    "regress": {"name": "adding", "rows": 40, "steps": 6},
    "tag": {"name": "delayed-echo", "rows": 40, "steps": 3},
    "translate": {"name": "emoji", "rows": 40, "vocabulary": 300},
}
"""Data that are made in no time; a task that is not here reads some rows of its own default."""


def book(folder: Path) -> dict[str, Any]:
    path = folder / "book.txt"
    path.write_text(LINES * 30)
    return {"train": [str(path)], "lanes": 3, "length": 8, "valid_share": 0.2, "test_share": 0.2}


def tunes(folder: Path) -> dict[str, Any]:
    for i in range(40):
        notes = [Note(t, t + 1 + t % 2, 60 + (i + 2 * t) % 9) for t in range(4 + i % 7)]
        write_midi(folder / f"{i:02}.mid", notes)
    return {"train": [str(folder)]}


FILES = {"language": book, "music": tunes}
"""Those whose own default takes long to read."""


@pytest.fixture(scope="module", params=[name for name, _ in TASKS])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MakeTask:
    name = request.param
    asked = sections(name)
    kind: Any = by_name(name)
    given = SMALL.get(name, {"rows": 40} if "rows" in asked.data.model_fields else {})
    if name in FILES:
        given = FILES[name](tmp_path_factory.mktemp(name))
    data, model = asked.data.parse(given), asked.model.parse({"hidden": 6})
    return lambda: kind.prepare(data, model)


@pytest.mark.parametrize("contract", TASK_CONTRACTS, ids=lambda c: c.__name__)
def test_contract(make: MakeTask, contract: TaskContract) -> None:
    contract(make)


class Sums(Supervised):
    """Adds up a few numbers, and breaks no contract."""

    unit, sort_by, batch_rows = "mse", "x", 4
    metric = Metric("mse")

    def __init__(self) -> None:
        x = [[[float(i + j)] for j in range(1 + i % 3)] for i in range(8)]
        y = torch.tensor([sum(step[0] for step in row) for row in x]) / 10
        rows = Rows({"x": Ragged.of(x, torch.float32), "y": y})
        self.parts = {"train": rows, "valid": rows}

    def build(self) -> nn.Module:
        return nn.ModuleDict({"gru": Recurrent(GRU(1, 4)), "out": nn.Linear(4, 1)})

    def output(self, rows: dict[str, Tensor]) -> Tensor:
        _, state = self.network["gru"](rows["x"], lengths=rows["x_lengths"])  # type: ignore[index]
        return self.network["out"](state.h)[:, 0]  # type: ignore[index]

    def criterion(self, batch: Any) -> Tensor:
        rows = batch.columns()
        return (self.output(rows) - rows["y"]).square().sum()

    def metrics(self, predictions: Predictions) -> dict[str, float]:
        return {"mse": predictions.loss}


class Walk(NamedTuple):
    """Steps of one row."""

    x: Tensor
    rows: int = 1
    continues: bool = True

    @property
    def steps(self) -> int:
        return len(self.x)

    def count(self, start: int, stop: int) -> int:
        return stop - start


class MeanOverSteps(Task):
    """Its loss is a mean, so that a cut batch would weigh more."""

    def build(self) -> nn.Module:
        return nn.Linear(1, 1)

    def batches(self, split: str, epoch: int = 0) -> list[Walk]:
        return [Walk(torch.arange(6.0)[:, None] / 6)]

    def loss(self, batch: Any, start: int, stop: int, state: Any, with_loss: bool = True) -> Any:
        return (self.network(batch.x[start:stop]) - 1).square().mean(), None


class OwnDice(Sums):
    def build(self) -> nn.Module:
        built = super().build()
        nn.init.constant_(built["out"].bias, random.random())  # type: ignore[index]
        return built


class Reshuffles(Sums):
    def batches(self, split: str, epoch: int = 0) -> Any:
        return self.batched(self.part(split), torch.default_generator)


class Miscounts(Sums):
    def lengths(self) -> list[int]:
        return [1]


class ReadsPadding(Sums):
    def output(self, rows: dict[str, Tensor]) -> Tensor:
        states, _ = self.network["gru"](rows["x"])  # type: ignore[index]
        return self.network["out"](states.mean(1))[:, 0]  # type: ignore[index]


class Detaches(Sums):
    def output(self, rows: dict[str, Tensor]) -> Tensor:
        _, state = self.network["gru"](rows["x"], lengths=rows["x_lengths"])  # type: ignore[index]
        return self.network["out"](state.h.detach())[:, 0]  # type: ignore[index]


class StaysInEvaluation(Sums):
    def evaluate(self, split: str) -> dict[str, float]:
        self.network.eval()
        return super().evaluate(split)


class SaysNothing(Sums):
    def metrics(self, predictions: Predictions) -> dict[str, float]:
        return {"mse": predictions.loss, "r2": float("nan")}


class LeavesACell(Sums):
    def tables(self, predictions: Any) -> list[Table]:
        return [Table("by length", ["steps", "rows"], [["1"]])]


class NamesNoStep(Sums):
    def excerpt(self, rows: int, text: str | None = None) -> Excerpt:
        return super().excerpt(rows)._replace(words=[{"": []}])


class Forgets(Regress):
    """It does not keep what the targets were standardized with."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "y": {"mean": 0.0, "deviation": 1.0}}


BROKEN: dict[str, Callable[[], Task]] = {
    "building_follows_the_seed": OwnDice,
    "an_epoch_repeats": Reshuffles,
    "lengths_are_known": Miscounts,
    "the_loss_is_a_sum": MeanOverSteps,
    "a_batch_is_its_rows": ReadsPadding,
    "every_weight_learns": Detaches,
    "evaluation_leaves_no_trace": StaysInEvaluation,
    "metrics_are_numbers": SaysNothing,
    "reports_are_well_formed": LeavesACell,
    "an_excerpt_is_a_batch": NamesNoStep,
    "saved_is_restored": lambda: Forgets.prepare(
        RegressData(rows=40, steps=5, standardize=True), RegressNet(hidden=4)
    ),
}


def test_every_contract_has_a_broken_task() -> None:
    assert set(BROKEN) == {contract.__name__ for contract in TASK_CONTRACTS}


@pytest.mark.parametrize("contract", BROKEN)
def test_a_broken_task_fails(contract: str) -> None:
    with pytest.raises(ContractError):
        getattr(testing, contract)(BROKEN[contract])


def test_the_task_from_which_the_broken_ones_are_made_is_whole() -> None:
    testing.check_task(Sums)
