"""Regression: a number for a sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman._errors import DataError
from elman.tasks import Regress, RegressData, RegressNet
from elman.training import config_class, train


def prepared(data: dict[str, Any], **model: Any) -> Regress:
    task = Regress.prepare(RegressData.parse(data), RegressNet.parse({"hidden": 4, **model}))
    torch.manual_seed(0)
    task.network = task.build()
    return task


@pytest.fixture
def series(tmp_path: Path) -> Path:
    path = tmp_path / "series.csv"
    rows = [f"{i} {i + 1} {i % 3},{100 * i + 5}" for i in range(40)]
    path.write_text("x,target\n" + "\n".join(rows))
    return path


def test_targets_of_files_are_standardized_and_measured_in_their_own_unit(series: Path) -> None:
    task = prepared({"train": [series], "series": "x"})
    train_targets = task.parts["train"]["y"]
    assert task.number.mean == pytest.approx(float(train_targets.mean()))
    assert task.criterion(task.batches("train")[0]).item() < 100
    rows = task.parts["test"]
    numbers = task.numbers(rows)
    mse = float((numbers - rows["y"]).square().mean())
    assert task.evaluate("test") == pytest.approx({"mse": mse, "rmse": mse**0.5})
    baselines = task.baselines()
    assert baselines["linear"]["test"]["rmse"] < baselines["mean"]["test"]["rmse"]
    assert list(task.answers([{"x": "1 2 0", "id": 4}])[0]) == ["x", "id", "number"]


@pytest.mark.parametrize("target", ["", "nan", "many", "inf"])
def test_a_target_that_is_no_number(series: Path, target: str) -> None:
    with series.open("a") as file:
        file.write(f"\n1 2 3,{target}\n")
    with pytest.raises(DataError, match=r"line 42, column 'target': a finite number was expected"):
        prepared({"train": [series], "series": "x"})


def test_adding_is_learned_where_it_is_short(tmp_path: Path) -> None:
    settings = {
        "data": {"rows": 1000, "steps": 6},
        "model": {"hidden": 24, "cell": "gru"},
        "train": {"epochs": 16, "lr": 0.02, "seed": 1},
    }
    result = train(config_class("regress").parse(settings), tmp_path / "run")
    assert result.metrics["test"]["mse"] < 0.01
    assert result.baselines["mean"]["test"]["mse"] > 0.1
    train_events = [e for e in result.run.events() if e["event"] == "train"]
    assert all("mse" in event for event in train_events)
    back = elman.load(result.run.path)
    assert back.evaluate("test") == result.metrics["test"]
