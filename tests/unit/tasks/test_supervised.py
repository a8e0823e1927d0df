"""Tasks over rows: batches, the order of epochs, and that nobody sees the sort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman._errors import DataError, Interrupted
from elman.cells import GRU
from elman.data import Ragged, Rows
from elman.layers import Recurrent
from elman.metrics import Metric
from elman.tasks import Part, Predictions, Supervised
from elman.training import Run, Training, fit
from elman.training._config import FORMAT


class Sums(Supervised):
    """The sum of numbers, however many."""

    name, unit, sort_by, batch_rows = "sums", "mse", "x", 4
    metric = Metric("mse")

    def __init__(self, rows: int = 30) -> None:
        draw = torch.Generator().manual_seed(0)
        lengths = torch.randint(0, 9, (rows,), generator=draw).tolist()
        x = [torch.rand(n, 1, generator=draw) for n in lengths]
        every = Rows({"x": Ragged.of(x, torch.float32), "y": torch.stack([v.sum() for v in x])})
        self.parts = {"train": every, "valid": every}
        self.seen: list[int] = []

    def build(self) -> nn.Module:
        return nn.ModuleList([Recurrent(GRU(1, 4)), nn.Linear(4, 1)])

    def output(self, batch: Part) -> Tensor:
        rows = batch.columns()
        recurrent, output = self.network
        _, state = recurrent(rows["x"], lengths=rows["x_lengths"])
        predicted: Tensor = output(state.h)[:, 0]
        return predicted

    def criterion(self, batch: Part) -> Tensor:
        if self.network.training:
            self.seen += batch.indices.tolist()
        return (self.output(batch) - batch.columns()["y"]).square().sum()

    def metrics(self, predictions: Predictions) -> dict[str, float]:
        return {"mse": predictions.loss}


def built(**values: Any) -> Sums:
    task = Sums(**values)
    task.network = task.build()
    return task


def test_answers_come_in_the_order_of_the_rows() -> None:
    task = built()
    rows = task.parts["valid"]
    together = torch.stack(task.in_order(rows, lambda part: list(task.output(part))))
    task.batch_rows = 1
    alone = torch.stack(task.in_order(rows, lambda part: list(task.output(part))))
    torch.testing.assert_close(together, alone)
    loss = (together - rows["y"]).square().mean()
    assert task.evaluate("valid")["mse"] == pytest.approx(float(loss), rel=1e-5)


def test_epochs_differ_and_can_be_had_again() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        task = built()
        task.seed = seed
        return torch.cat([part.indices for part in task.batches("train", epoch)]).tolist()

    assert order(0, 0) == order(0, 0)
    assert sorted(order(0, 0)) == list(range(30))
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    assert built().lengths() == [1] * len(built().batches("train")) == [1] * 8


def test_a_missing_split_is_named() -> None:
    with pytest.raises(DataError, match="no test rows here, only: train, valid"):
        built().evaluate("test")


def config(**values: Any) -> Training:
    return Training.parse({"epochs": 3, "lr": 0.05, "log_every": 1, "seed": 5, **values})


def test_every_row_is_trained_on_once_an_epoch(tmp_path: Path) -> None:
    task = Sums()
    result = fit(task, config(), Run.create(tmp_path / "r", {"format": FORMAT}))
    epochs = [task.seen[start : start + 30] for start in (0, 30, 60)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert result.metrics["valid"]["mse"] < 2  # their variance is 4
    train = next(e for e in result.run.events() if e["event"] == "train")
    assert {"mse", "rows_per_second"} <= set(train)


@pytest.mark.parametrize("after", [3, 8, 11])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path, after: int) -> None:
    whole = Sums()
    expected = fit(whole, config(), Run.create(tmp_path / "whole", {"format": FORMAT})).run.load(
        "last"
    )
    first = Sums()
    run = Run.create(tmp_path / "cut", {"format": FORMAT})

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "train" and event["update"] == after:
            raise Interrupted

    # As if killed after a checkpoint: what came later is lost.
    with pytest.raises(Interrupted):
        fit(first, config(checkpoint_every=2), run, report=stop)
    second = Sums()
    fit(second, config(checkpoint_every=2), run, resume=True)
    last = run.load("last")
    assert all(torch.equal(last.model[k], expected.model[k]) for k in expected.model)
    assert 0 < len(second.seen) < len(whole.seen)
    assert whole.seen[-len(second.seen) :] == second.seen
