from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from elman._errors import CheckpointError, ConfigError, Diverged
from elman.bptt import State
from elman.cells import Elman
from elman.layers import Recurrent
from elman.tasks import LanguageData, LanguageModel, LanguageNet, Predictions, Task
from elman.training import Run, TrainConfig, fit
from elman.training._config import FORMAT
from elman.training._loop import Trainer

ROWS, STEPS = 4, 12


@dataclass
class Series:
    """Numbers to predict from numbers."""

    inputs: Tensor
    targets: Tensor
    continues: bool = False

    @property
    def rows(self) -> int:
        return len(self.inputs)

    @property
    def steps(self) -> int:
        return self.inputs.shape[1]

    def count(self, start: int, stop: int) -> int:
        return self.rows * (stop - start)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = Recurrent(Elman(1, 3, dtype=torch.float64))
        self.output = nn.Linear(3, 1, dtype=torch.float64)


class Sums(Task):
    """Predict the running sum; two batches an epoch, other ones each epoch."""

    name = "sums"
    splits = ("train", "valid")
    spoiled_at: int | None = None

    def __init__(self, continues: bool = False) -> None:
        self.continues = continues
        self.windows: list[tuple[int, int, bool]] = []
        self.valid_losses: Iterator[float] | None = None

    def build(self) -> nn.Module:
        return Model()

    def batches(self, split: str, epoch: int = 0) -> Iterator[Series]:
        draw = torch.Generator().manual_seed(epoch if split == "train" else 99)
        for number in range(2):
            x = torch.randn(ROWS, STEPS, 1, generator=draw, dtype=torch.float64)
            yield Series(x, x.cumsum(1).tanh(), self.continues and number > 0)

    def loss(
        self, batch: Series, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        output, state = self.network.recurrent(batch.inputs[:, start:stop], state)
        if self.network.training:
            self.windows.append((start, stop, state is not None))
        error = self.network.output(output) - batch.targets[:, start:stop]
        if self.spoiled_at == len(self.windows):
            error = error * math.nan
        return error.square().sum(), state

    def initial_state(self, rows: int) -> State:
        return self.network.recurrent.initial_state(rows)

    def metrics(self, predictions: Predictions) -> dict[str, float]:
        if self.valid_losses:
            predictions = predictions._replace(loss=next(self.valid_losses))
        return super().metrics(predictions)


def config(**values: Any) -> TrainConfig:
    usual = {"epochs": 2, "k1": 4, "optimizer": "sgd", "lr": 0.05, "clip": "none", "log_every": 1}
    return TrainConfig.parse({**usual, **values})


def run(tmp_path: Path, task: Task, **values: Any) -> tuple[list[dict[str, Any]], Any]:
    events: list[dict[str, Any]] = []
    folder = Run.create(tmp_path / f"run-{len(list(tmp_path.iterdir()))}", {"format": FORMAT})
    return events, fit(task, config(**values), folder, report=events.append)


def named(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


def by_hand(loss: str, epochs: int = 2) -> Model:
    """The same training, written out: SGD on windows of four steps, the state carried along."""
    torch.manual_seed(0)
    model, task = Model(), Sums()
    for epoch in range(epochs):
        for batch in task.batches("train", epoch):
            state = None
            for start in range(0, STEPS, 4):
                output, state = model.recurrent(batch.inputs[:, start : start + 4], state)
                error = model.output(output) - batch.targets[:, start : start + 4]
                total = error.square().sum() / (ROWS * 4 if loss == "mean" else ROWS)
                model.zero_grad()
                total.backward()
                state = state._replace(h=state.h.detach())
                with torch.no_grad():
                    for p in model.parameters():
                        p -= 0.05 * p.grad
    return model


@pytest.mark.parametrize("loss", ["mean", "sum"])
def test_it_is_the_loop_written_out(tmp_path: Path, loss: str) -> None:
    task = Sums()
    _, result = run(tmp_path, task, loss=loss)
    expected = by_hand(loss).state_dict()
    last = result.run.load("last").model
    torch.testing.assert_close(last, dict(expected), rtol=1e-12, atol=1e-14)
    assert task.windows[:3] == [(0, 4, True), (4, 8, True), (8, 12, True)]


def test_k2_reaches_back_and_carries_the_state(tmp_path: Path) -> None:
    task = Sums()
    run(tmp_path, task, k1=4, k2=6, epochs=1)
    assert [w[:2] for w in task.windows[:6]] == [(0, 2), (2, 4), (2, 4), (4, 6), (6, 8), (6, 8)]


def test_the_state_is_carried_over_batches_that_continue(tmp_path: Path) -> None:
    weights = []
    for continues in (False, True):
        _, result = run(tmp_path, Sums(continues), epochs=1)
        weights.append(result.run.load("last").model["recurrent.cell.weight_hh"])
    assert not torch.equal(*weights)


def test_accumulating_all_windows_of_a_batch_is_one_long_backward(tmp_path: Path) -> None:
    """k2 = T over three windows, one update: the gradient of full BPTT, over three."""
    _, three = run(tmp_path, Sums(), k1=4, k2=12, accumulate=3, loss="sum", lr=0.03, epochs=1)
    _, one = run(tmp_path, Sums(), bptt="full", loss="sum", lr=0.01, epochs=1)
    torch.testing.assert_close(three.run.load("last").model, one.run.load("last").model)


def test_a_rest_of_windows_makes_the_last_update_of_an_epoch(tmp_path: Path) -> None:
    events, _ = run(tmp_path, Sums(), accumulate=4, epochs=1)  # of six windows
    assert [event["update"] for event in named(events, "train")] == [1, 2]
    assert events[0]["updates"] == 2


def test_checkpointed_policy_trains_as_full(tmp_path: Path) -> None:
    weights = [
        run(tmp_path, Sums(), bptt=bptt, every=5)[1].run.load("last").model
        for bptt in ("full", "checkpointed")
    ]
    torch.testing.assert_close(*weights, rtol=1e-12, atol=1e-14)


def test_events_tell_what_happened(tmp_path: Path) -> None:
    events, result = run(tmp_path, Sums(), clip="norm", clip_limit=0.01, seed=5)
    assert [event["event"] for event in events] == [
        "start", *["train"] * 6, "valid", *["train"] * 6, "valid", "end",
    ]  # fmt: skip
    start, end = events[0], events[-1]
    assert (start["seed"], start["device"], start["parameters"]) == (5, "cpu", 22)
    assert all(event["clipped"] == 1 and event["norm"] > 0.01 for event in named(events, "train"))
    assert [event["epoch"] for event in named(events, "valid")] == [1, 2]
    assert end["metrics"] == result.metrics
    assert set(end["metrics"]) == {"valid"}
    assert result.run.events() == events


def test_the_logged_loss_is_the_mean_over_terms(tmp_path: Path) -> None:
    task, values = Sums(), {"lr": 1e-12, "epochs": 1}
    every, six = (named(run(tmp_path, task, log_every=n, **values)[0], "train") for n in (1, 6))
    mean = sum(event["nats"] for event in every) / 6
    assert six[0]["nats"] == pytest.approx(mean)


def test_budget_in_updates_ends_in_the_middle_and_is_validated(tmp_path: Path) -> None:
    events, result = run(tmp_path, Sums(), epochs=None, max_steps=4)
    assert [event["update"] for event in named(events, "train")] == [1, 2, 3, 4]
    assert [event["update"] for event in named(events, "valid")] == [4]
    assert result.run.load("last").progress["update"] == 4


def test_the_smaller_of_two_budgets_counts(tmp_path: Path) -> None:
    events, _ = run(tmp_path, Sums(), epochs=1, max_steps=99)
    assert events[0]["updates"] == events[-1]["update"] == 6


def test_validation_every_few_updates(tmp_path: Path) -> None:
    events, _ = run(tmp_path, Sums(), validate_every=4, epochs=1)
    assert [event["update"] for event in named(events, "valid")] == [4, 6]


def test_early_stopping_and_the_best_weights(tmp_path: Path) -> None:
    task = Sums()
    task.valid_losses = iter([3.0, 1.0, 2.0, 1.0, 9.0, 7.0])
    events, result = run(tmp_path, task, epochs=99, patience=3)
    assert [event["best"] for event in named(events, "valid")] == [True, True, False, False, False]
    assert result.run.load("best").progress["epoch"] == 2
    assert torch.equal(
        task.network.state_dict()["output.bias"], result.run.load("best").model["output.bias"]
    )
    assert not torch.equal(
        task.network.state_dict()["output.bias"], result.run.load("last").model["output.bias"]
    )


@pytest.mark.parametrize(("losses", "told"), [([1, 2, 2, 2], True), ([1, 2, 2, 0.5], False)])
def test_a_run_that_no_longer_improved_is_told_of_early_stopping(
    losses: list[float], told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = Sums()
    task.valid_losses = iter([*losses, 9.0])
    run(tmp_path, task, epochs=4)
    assert ("no improvement in the last 3 validations" in caplog.text) is told


def test_schedule_and_seed(tmp_path: Path) -> None:
    events, _ = run(tmp_path, Sums(), epochs=3, schedule="step", decay_after=1, decay=0.5)
    assert [event["lr"] for event in named(events, "train")][::6] == [0.05, 0.025, 0.0125]
    one, same, other = (
        run(tmp_path, Sums(), seed=seed)[1].run.load("last").model for seed in (1, 1, 2)
    )
    assert torch.equal(one["output.bias"], same["output.bias"])
    assert not torch.equal(one["output.bias"], other["output.bias"])


def test_cosine_knows_the_updates_of_its_epochs(tmp_path: Path) -> None:
    events, _ = run(tmp_path, Sums(), schedule="cosine", epochs=2)
    rates = [event["lr"] for event in named(events, "train")]
    assert rates == sorted(rates, reverse=True)
    assert rates[6] == pytest.approx(0.025)


def test_a_task_without_validation_keeps_its_last_weights_as_the_best(tmp_path: Path) -> None:
    task = Sums()
    task.splits = ("train",)
    events, result = run(tmp_path, task)
    assert not named(events, "valid")
    assert result.metrics == {}
    assert torch.equal(
        result.run.load("best").model["output.bias"], result.run.load("last").model["output.bias"]
    )


def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path: Path) -> None:
    task = Sums()
    task.spoiled_at = 9
    with pytest.raises(Diverged, match=r"the loss is not finite at update 9 \(epoch 2\)") as caught:
        run(tmp_path, task)
    assert caught.value.exit_code == 4
    folder = Run.open(tmp_path / "run-0")
    good = folder.load("last")
    assert good.progress["update"] == 6
    assert all(tensor.isfinite().all() for tensor in good.model.values())
    assert all(p.isfinite().all() for p in task.network.parameters())
    assert folder.events()[-1]["event"] == "diverged"


def test_a_gradient_that_is_not_finite_stops_too(tmp_path: Path) -> None:
    class Rooted(Sums):
        def loss(self, *args: Any, **options: Any) -> tuple[Tensor, State]:
            loss, state = super().loss(*args, **options)
            return loss + (self.network.output.bias * 0).sum().sqrt(), state  # 0 * inf behind

    with pytest.raises(Diverged, match="gradient's norm is not finite at update 1"):
        run(tmp_path, Rooted())


def test_a_resumed_run_of_another_model_is_refused(tmp_path: Path) -> None:
    _, result = run(tmp_path, Sums())

    class Wide(Sums):
        def build(self) -> nn.Module:
            model = Model()
            model.output = nn.Linear(3, 2, dtype=torch.float64)
            return model

    with pytest.raises(CheckpointError, match=r"output.weight must be \(2, 3\) .* got \(1, 3\)"):
        fit(Wide(), config(), result.run, resume=True)


def test_a_larger_budget_goes_on(tmp_path: Path) -> None:
    _, short = run(tmp_path, Sums(), epochs=1)
    fit(Sums(), config(epochs=2), short.run, resume=True)
    _, whole = run(tmp_path, Sums(), epochs=2)
    assert torch.equal(
        short.run.load("last").model["output.bias"], whole.run.load("last").model["output.bias"]
    )


def test_a_device_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for name in ("cuda:99", "tpu", "gpu"):
        with pytest.raises(ConfigError, match="device"):
            run(tmp_path, Sums(), device=name)


def test_one_wait_for_the_device_in_an_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    for name in ("tolist", "item", "__float__", "__bool__", "__int__"):
        real = getattr(Tensor, name)
        monkeypatch.setattr(
            Tensor, name, lambda t, real=real, name=name: (waits.append(name), real(t))[1]
        )
    trainer = Trainer(Sums(), config(log_every=99), Run.create(tmp_path / "r", {}), [].append)
    trainer.resumed_at = 0.0
    waits.clear()
    trainer._epoch()
    assert waits.count("tolist") == 6
    assert len(waits) <= 6 + 1  # and one for the validation's sum


@pytest.mark.parametrize("accumulate", [1, 3])
def test_gradients_of_the_rows_that_occurred_train_as_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat\na dog ran to a hen\n" * 30, encoding="utf-8")
    found, kinds = [], []

    real_step = torch.optim.SGD.step

    def step(optimizer: torch.optim.SGD) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        kinds.append(any(g.is_sparse for g in gradients))
        real_step(optimizer)

    for sparse in (True, False):
        if not sparse:
            monkeypatch.setattr("elman.training.parts.sparse_embeddings", lambda *_: [])
        net = LanguageNet.parse({"hidden": 6, "init_range": 0.5})
        task = LanguageModel.prepare(LanguageData.parse({"train": [text], "lanes": 3}), net)
        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.SGD, "step", step)
            run(tmp_path, task, clip="norm", clip_limit=0.1, accumulate=accumulate, lr=2.0)
        found.append(task.network.state_dict())
        assert not task.network.embedding.sparse  # nor is it left so
    assert all(kinds[: len(kinds) // 2])
    assert not any(kinds[len(kinds) // 2 :])
    torch.testing.assert_close(found[0], found[1])
