"""Measures of tasks: their own loss, their own batches, and runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import elman
from elman._errors import CheckpointError, ConfigError
from elman.inspection import (
    factors,
    first_bad,
    gates,
    gradient_flow,
    jacobian,
    lyapunov,
    record,
    record_loss,
    spectrum,
    truncation_bias,
)
from elman.tasks import (
    LanguageData,
    LanguageModel,
    LanguageNet,
    Regress,
    RegressData,
    RegressNet,
)
from elman.training import config_class
from elman.training._run import Run


@pytest.fixture
def language(tmp_path: Path) -> LanguageModel:
    text = tmp_path / "cat.txt"
    text.write_text("the cat sat on the mat\n" * 20)
    data = LanguageData.parse({"train": [text], "lanes": 2, "eval_lanes": 1, "length": 12})
    net = LanguageNet.parse({"hidden": 8, "layers": 2, "dropout": 0.0})
    task = LanguageModel.prepare(data, net)
    task.network = task.build()
    return task


def test_a_language_model_by_hand_at_the_last_step(language: LanguageModel) -> None:
    batch = next(iter(language.batches("train")))
    flow = gradient_flow(language, batch, loss_steps=(3, -1))
    assert flow.layers == ("recurrent.layers.0", "recurrent.layers.1")
    assert flow.norm.shape == (2, 12)
    inputs, targets = batch.window(0, 12)
    hidden, _ = language.network.hidden(inputs.T, None)
    p = language.network.output(hidden[-1]).softmax(-1)
    p[torch.arange(2), targets[:, -1]] -= 1
    expected = (p @ language.network.output.weight / 24).norm(dim=1)
    torch.testing.assert_close(flow.per_row[1, -1], expected.double(), rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(flow.contribution[:, 1, -1], flow.norm[:, -1])
    assert not flow.contribution[:, 0, 4:].any()


def test_the_loss_is_the_mean_that_training_descends(language: LanguageModel) -> None:
    batch = next(iter(language.batches("train")))
    _, loss = record_loss(language, batch)
    total, _ = language.loss(batch, 0, batch.steps, None)
    torch.testing.assert_close(loss, total / batch.count(0, batch.steps))
    apart = factors(language, batch, layer="recurrent.layers.0")
    torch.testing.assert_close(apart.sum(), apart.autograd, rtol=1e-4, atol=1e-7)
    with pytest.raises(ConfigError, match="leave out loss"):
        record_loss(language, batch, torch.sum)


def test_a_classifier_of_whole_rows_enters_at_its_end() -> None:
    data = RegressData.parse({"name": "adding", "rows": 60, "steps": 30})
    task = Regress.prepare(data, RegressNet.parse({"cell": "elman", "hidden": 16}))
    task.network = task.build()
    flow = gradient_flow(task, task.batches("train")[0])
    assert flow.norm[0, 0] < 1e-3 * flow.norm[0, -1]
    assert 0 < flow.half_life.value < 10


def test_jacobians_and_exponents_of_a_task_are_those_of_its_network(
    language: LanguageModel,
) -> None:
    batch = next(iter(language.batches("train")))
    inputs, _ = batch.window(0, 12)
    network = language.network
    for name in ("recurrent.layers.0", "recurrent.layers.1"):
        of_task = lyapunov(language, batch, k=2, layer=name)
        assert of_task.exponents[0] >= of_task.exponents[1]
        expected = lyapunov(network, inputs, k=2, layer=name)
        torch.testing.assert_close(of_task.growth, expected.growth, rtol=0, atol=0, equal_nan=True)
        sizes = spectrum(language, batch, layer=name, state="all")
        of_network = spectrum(network, inputs, layer=name, state="all")
        assert torch.equal(sizes.norm.value, of_network.norm.value)
        one = jacobian(language, batch, 5, 2, layer=name)
        assert torch.equal(one, jacobian(network, inputs, 5, 2, layer=name))
    recording = record(language, batch)
    assert torch.equal(recording.output, language.loss(batch, 0, batch.steps, None)[0])


def test_a_task_takes_no_options_and_no_loss(language: LanguageModel) -> None:
    batch = next(iter(language.batches("train")))
    for measure in (record, gradient_flow, spectrum, lyapunov, gates, first_bad, truncation_bias):
        with pytest.raises(ConfigError, match="leave out"):
            measure(language, batch, lengths=torch.tensor([1]))
    for of_loss in (gradient_flow, first_bad, truncation_bias):
        with pytest.raises(ConfigError, match="leave out"):
            of_loss(language, batch, torch.sum)


def test_inside_a_model_a_layer_is_measured_along_its_own_input(language: LanguageModel) -> None:
    batch = next(iter(language.batches("train")))
    inputs, _ = batch.window(0, 12)
    found = lyapunov(language.network, inputs, k=2, layer=-1)
    assert found.exponents.isfinite().all()
    assert jacobian(language.network, inputs, 5, 2, layer=0).shape == (2, 8, 8)


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    config = config_class("regress").parse({})
    Run.create(tmp_path / "run", config.toml())
    with pytest.raises(CheckpointError, match="checkpoint"):
        gradient_flow(elman.load(tmp_path / "run"), None)
