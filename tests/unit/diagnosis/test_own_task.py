"""A run of a task of one's own: handed over in Python, a sentence on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import elman
from elman._errors import ConfigError
from elman.cli import main
from elman.data import Ragged, Rows
from elman.diagnosis import diagnose, try_remedies
from elman.tasks import Supervised
from elman.training import Run, Training, evaluate, fit
from elman.training._config import FORMAT


class Sums(Supervised):
    """Whether the sum of some numbers is above 0."""

    name, sort_by = "sums", "x"

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        x = [torch.randn(n, 1, generator=draw) for n in (3, 9, 5, 6) * 20]
        y = torch.tensor([float(v.sum() > 0) for v in x])
        rows = Rows({"x": Ragged.of(x, torch.float32), "y": y})
        self.parts = {"train": rows, "valid": rows}

    def build(self) -> nn.Module:
        return nn.ModuleList([elman.Recurrent(elman.cells.GRU(1, 8)), nn.Linear(8, 1)])

    def criterion(self, batch: Any) -> Any:
        rows = batch.columns()
        layer, output = self.network  # type: ignore[misc]
        _, state = layer(rows["x"], lengths=rows["x_lengths"])
        return F.binary_cross_entropy_with_logits(output(state.h)[:, 0], rows["y"], reduction="sum")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = Training(max_steps=20, lr=3.0, log_every=2)
    config = {"task": "sums", "format": FORMAT, "train": settings.model_dump(exclude_none=True)}
    run = Run.create(tmp_path_factory.mktemp("own") / "run", config)
    return fit(Sums(), settings, run).run.path


def test_a_task_of_ones_own_is_examined_and_left_as_it_is(path: Path) -> None:
    task = elman.load(path, task=Sums())
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    network = task.network
    examination = diagnose(path, task=task)
    assert "E-LR" in [finding.code for finding in examination.findings]
    assert examination.evidence.first.steps == 9
    assert task.network is network
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_without_baselines_the_untrained_network_is_one(path: Path) -> None:
    standing = diagnose(path, task=Sums()).evidence.standing
    assert standing is not None
    assert (standing.name, standing.origin) == ("untrained", "the initial weights")


def test_remedies_are_settings_of_training_and_can_be_tried(path: Path) -> None:
    findings = diagnose(path, task=Sums()).findings
    keys = {key for f in findings for r in f.remedies for key in r.changes}
    assert keys
    assert all(key.startswith("train.") for key in keys)
    rate = next(f for f in findings if f.code == "E-LR")
    control, lower, *_ = try_remedies(path, [rate], task=Sums(), steps=10)
    assert control.score is None or lower.score is not None
    assert Run.open(lower.run).config["train"]["lr"] < 3.0


def test_evaluate_takes_the_task(path: Path) -> None:
    assert evaluate(path, split="valid", task=Sums())["nats"] > 0
    with pytest.raises(ConfigError, match="does not read files"):
        evaluate(path, split="valid", task=Sums(), lanes=2)


@pytest.mark.parametrize("command", ["doctor", "evaluate", "report", "flow"])
def test_the_command_line_says_how(
    path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([command, str(path)])
    err = capsys.readouterr().err
    assert "is a custom task" in err
    assert "task=" in err
    if command != "report":  # it makes a page of what there is
        assert code == 2
