from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import elman
from elman._errors import CheckpointError, ConfigError, DataError, ElmanError, Interrupted
from elman.data import Lanes
from elman.tasks import LanguageModel, Task, by_name
from elman.tasks._language import Piece
from elman.training import (
    Result,
    Run,
    TrainConfig,
    config_class,
    evaluate,
    fit,
    load,
    resume,
    train,
)

TEXT = "the cat sat on the mat\nthe dog sat on the log\n" * 40


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


def settings(text: Path, **train: Any) -> Any:
    return config_class("language").parse(
        {
            "data": {"train": [str(text)], "lanes": 2},
            "model": {"hidden": 6},
            "train": {"epochs": 1, "k1": 8, "lr": 0.02, "log_every": 5, **train},
        }
    )


@pytest.fixture
def result(text: Path, tmp_path: Path) -> Result:
    return train(settings(text), tmp_path / "run")


def test_a_run_by_configuration_is_complete(result: Result) -> None:
    names = {str(p.relative_to(result.run.path)) for p in result.run.path.rglob("*")}
    assert {"config.toml", "metrics.jsonl", "tokenizer.json", "tokens/train.npy"} <= names
    assert {"checkpoints/last/model.safetensors", "checkpoints/best/state.json"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".partial"))]
    assert set(result.metrics) == {"valid", "test"}
    assert set(result.baselines) == {"unigram", "bigram", "trigram"}


def test_folders_are_numbered_in_the_directory(text: Path, tmp_path: Path) -> None:
    config = settings(text, epochs=None, max_steps=1)
    paths = [train(config, directory=tmp_path / "runs", name="lm").run.path for _ in range(2)]
    assert paths == [tmp_path / "runs" / "lm-1", tmp_path / "runs" / "lm-2"]
    assert train(config, paths[0], force=True).run.path == paths[0]
    with pytest.raises(ConfigError, match="this run exists"):
        train(config, paths[0])


def test_what_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    config = settings(tmp_path / "missing.txt")
    with pytest.raises(DataError, match=r"missing.txt: no such file"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="device"):
        train(settings(tmp_path / "missing.txt", device="cuda:99"), tmp_path / "run")


def test_reading_is_reported_by_the_percent(text: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    train(settings(text), tmp_path / "run", report=events.append)
    reading = [event for event in events if event["event"] == "reading"]
    assert {event["what"] for event in reading} == {"vocabulary", "train", "valid", "test"}
    percents = [100 * e["done"] // e["total"] for e in reading if e["what"] == "train"]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100


def test_load_predicts_as_the_trained_network(result: Result) -> None:
    task = elman.load(result.run.path)
    assert isinstance(task, LanguageModel)
    assert not task.network.training
    assert task.evaluate("test") == result.metrics["test"]
    assert task.next_words("the cat sat on the", top=3)


def test_loading_leaves_the_random_generator_alone(result: Result) -> None:
    state = torch.get_rng_state()
    load(result.run.path)
    assert torch.equal(torch.get_rng_state(), state)


def test_last_and_best(text: Path, tmp_path: Path) -> None:
    run = train(settings(text, lr=0.5, epochs=4), tmp_path / "run").run
    last, best = (load(run.path, which).network.output.bias for which in ("last", "best"))
    assert torch.equal(last, run.load("last").model["output.bias"])
    assert torch.equal(best, run.load("best").model["output.bias"])
    with pytest.raises(CheckpointError, match="no checkpoint 'worst'"):
        load(run.path, "worst")


def test_weights_of_other_sizes_are_refused(result: Result) -> None:
    path = result.run.path / "checkpoints/best/model.safetensors"
    weights = safetensors.torch.load_file(path)
    weights["output.bias"] = torch.zeros(3)
    safetensors.torch.save_file(weights, path)
    with pytest.raises(CheckpointError, match=r"output.bias must be \(9,\) of torch.float32"):
        load(result.run.path)


def test_a_configuration_that_was_edited_is_checked(result: Result) -> None:
    path = result.run.path / "config.toml"
    path.write_text(path.read_text().replace("hidden = 6", "hidden = 7"))
    with pytest.raises(CheckpointError, match="does not match the model"):
        load(result.run.path)
    path.write_text(path.read_text().replace("hidden = 7", "hidden = 0"))
    with pytest.raises(ConfigError, match=r"model.hidden"):
        load(result.run.path)


def test_evaluate_by_split_files_and_lanes(result: Result, tmp_path: Path) -> None:
    assert evaluate(result.run.path) == result.metrics["test"]
    assert evaluate(result.run.path, split="valid") == result.metrics["valid"]
    other = tmp_path / "other.txt"
    other.write_text("the cat sat on the log\n" * 9)
    assert evaluate(result.run.path, files=[other])["nats"] != result.metrics["test"]["nats"]
    one, two = (evaluate(result.run.path, files=[other], lanes=n)["nats"] for n in (1, 2))
    assert one == pytest.approx(two, rel=0.2)
    assert one != two


def test_without_its_tokens_a_run_evaluates_only_files(result: Result) -> None:
    for file in (result.run.path / "tokens").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="no test text"):
        evaluate(result.run.path)


def test_resume_needs_a_checkpoint_that_is_whole(result: Result) -> None:
    (result.run.path / "checkpoints/last/optimizer.safetensors").write_bytes(b"junk")
    with pytest.raises(CheckpointError, match=r"optimizer.safetensors: cannot be read"):
        resume(result.run.path)
    with pytest.raises(CheckpointError, match="not a run folder"):
        resume(result.run.path / "checkpoints")


def test_resume_takes_a_larger_budget_and_keeps_it(text: Path, tmp_path: Path) -> None:
    short = train(settings(text), tmp_path / "short").run
    resume(short.path, {"epochs": 2})
    whole = train(settings(text, epochs=2), tmp_path / "whole").run
    assert torch.equal(
        short.load("last").model["output.bias"], whole.load("last").model["output.bias"]
    )
    assert load(short.path) is not None
    assert "epochs = 2" in (short.path / "config.toml").read_text()
    with pytest.raises(ConfigError, match=r"train.epoch: unknown key"):
        resume(short.path, {"epoch": 3})


@pytest.mark.parametrize("changes", [{"k1": 9}, {"seed": 1}, {"optimizer": "sgd"}])
def test_resume_keeps_what_its_position_depends_on(result: Result, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"keeps its {next(iter(changes))}"):
        resume(result.run.path, changes)
    resume(result.run.path, {"k1": "8"})


class Guess(Task):
    """A task of one's own: how often is it heads?"""

    name = "guess"

    def build(self) -> nn.Module:
        return nn.ParameterDict({"logit": nn.Parameter(torch.zeros(()))})

    def batches(self, split: str, epoch: int = 0) -> list[Piece]:
        lanes = Lanes(torch.tensor([0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1]), 1)
        return [Piece(lanes, 0, 10)]

    def loss(
        self, batch: Piece, start: int, stop: int, state: Any, with_loss: bool = True
    ) -> tuple[Tensor, Any]:
        heads = batch.window(start, stop)[1].float()
        logits = self.network["logit"].expand_as(heads)
        return F.binary_cross_entropy_with_logits(logits, heads, reduction="sum"), state


def test_a_task_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(epochs=40, optimizer="sgd", lr=2.0, bptt="full")
    result = fit(Guess(), config)
    assert result.run.path == Path("runs/guess-1")
    task = load(result.run.path, task=Guess())
    assert torch.sigmoid(task.network["logit"]).item() == pytest.approx(0.8, abs=0.01)
    fit(Guess(), TrainConfig(**{**config.model_dump(), "epochs": 41}), result.run, resume=True)
    assert result.run.load("last").progress["epoch"] == 41
    with pytest.raises(ConfigError, match="'guess' is a custom task"):
        load(result.run.path)


def test_interrupted_says_where_and_has_its_exit_code(text: Path, tmp_path: Path) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "train":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="SIGINT after update 5; saved in") as caught:
        train(settings(text), tmp_path / "run", report=stop)
    assert caught.value.exit_code == 130
    state = json.loads((tmp_path / "run/checkpoints/last/state.json").read_text())
    assert state["update"] == 5


def test_a_pause_logs_saves_and_changes_nothing_of_what_comes(text: Path, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    config = settings(text, watch=True)
    whole = train(config, tmp_path / "whole").metrics
    run = Run.create(tmp_path / "run", config.toml())
    task = by_name("language").prepare(config.data, config.model, run.path)
    with pytest.raises(Interrupted, match=r"^paused after update 3; saved in"):
        fit(task, config.train, run, pause_after=3, report=told.append)
    assert [(e["event"], e["update"]) for e in told[-3:]] == [
        ("train", 3),
        ("watch", 3),
        ("valid", 3),
    ]
    assert run.load("last").progress["update"] == 3
    assert fit(task, config.train, run, resume=True).metrics == whole


def test_a_folder_that_is_deleted_while_it_trains_is_no_success(text: Path, tmp_path: Path) -> None:
    def delete(event: dict[str, Any]) -> None:
        if event["event"] == "train":
            shutil.rmtree(tmp_path / "run", ignore_errors=True)

    with pytest.raises(ElmanError, match="run: the run folder was deleted, moved or") as caught:
        train(settings(text), tmp_path / "run", report=delete)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [None, "", "\0binary"])
def test_force_keeps_the_old_run_until_the_new_one_has_its_data(
    text: Path, tmp_path: Path, result: Result, content: str | None
) -> None:
    before = {f: f.read_bytes() for f in result.run.path.rglob("*") if f.is_file()}
    bad = tmp_path / "bad.txt"
    if content is not None:
        bad.write_text(content)
    with pytest.raises(DataError, match=r"bad\.txt"):
        train(settings(bad), result.run.path, force=True)
    assert {f: f.read_bytes() for f in result.run.path.rglob("*") if f.is_file()} == before
    assert not list(tmp_path.glob(".run*"))


def test_one_that_trains_by_force_is_in_its_place_when_it_starts(
    text: Path, tmp_path: Path, result: Result
) -> None:
    told: list[dict[str, Any]] = []
    again = train(settings(text, seed=3), result.run.path, force=True, report=told.append)
    assert again.run.path == result.run.path
    assert told[-1]["run"] == str(result.run.path)
    assert load(result.run.path).evaluate("valid") == again.metrics["valid"]


def test_who_listens_may_go_without_the_run(text: Path, tmp_path: Path) -> None:
    def gone(event: dict[str, Any]) -> None:
        if event["event"] == "train":
            raise OSError(5, "Input/output error")  # as of a terminal that is lost

    with pytest.raises(OSError, match="Input/output error"):
        train(settings(text), tmp_path / "run", report=gone)
    saved = json.loads((tmp_path / "run/checkpoints/last/state.json").read_text())
    whole = train(settings(text), tmp_path / "whole").run.load("last").model
    again = resume(tmp_path / "run").run.load("last").model
    assert saved["update"] == 5
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(result: Result, value: float) -> None:
    for which in ("best", "last"):
        file = result.run.path / "checkpoints" / which / "model.safetensors"
        tensors = safetensors.torch.load_file(file)
        tensors["output.weight"][1, 2] = value
        safetensors.torch.save_file(tensors, file)
        message = rf"{which}/model.safetensors: 1 of the .* weights of output.weight are NaN or"
        with pytest.raises(CheckpointError, match=message):
            load(result.run.path, which)
    with pytest.raises(CheckpointError, match="use the run's other checkpoint"):
        resume(result.run.path, {"epochs": 2})


def test_tokens_that_are_not_in_the_vocabulary_are_named(result: Result) -> None:
    for split in ("train", "test"):
        file = result.run.path / "tokens" / f"{split}.npy"
        tokens = np.load(file)
        tokens[4] = 60_000
        np.save(file, tokens)
    task = load(result.run.path)
    for used in (lambda: task.evaluate("test"), task.baselines):
        with pytest.raises(CheckpointError, match=r"t\w+.npy: token 60000 is not in the vocab"):
            used()
    assert task.evaluate("valid")
    with pytest.raises(CheckpointError, match=r"train.npy: token 60000"):
        resume(result.run.path, {"epochs": 2})


def test_baselines_can_be_left_out(text: Path, tmp_path: Path) -> None:
    assert train(settings(text, baselines=False), tmp_path / "run").baselines == {}


def test_what_takes_long_is_logged(
    text: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(settings(text), tmp_path / "run")
    for words in ("update 5", "training baselines on the same data", "on the test data"):
        assert words in caplog.text
