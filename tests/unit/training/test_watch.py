"""The watch: what it writes, that it changes nothing of training, and that it resumes exactly."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman._errors import Diverged
from elman.bptt import State
from elman.cells import GRU, LSTM, Elman, PointwiseCell
from elman.layers import Bidirectional, Dropout, Recurrent, Stack
from elman.tasks import Task
from elman.training import Run, TrainConfig, config_class, fit, train
from elman.training._config import FORMAT
from unit.training.test_loop import Series, Sums, config, named, run

WATCHED = {"watch": True, "watch_every": 3}


class Leaky(PointwiseCell):
    gates, states = ("z", "leak"), ("h",)

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        leak = torch.sigmoid(inp.leak + rec.leak)
        self.watch(leak=leak)
        return self.State(h=(1 - leak) * state.h + leak * torch.tanh(inp.z + rec.z))


class Net(nn.Module):
    """Whatever could be disturbed: dropout, running statistics, a part that is kept in eval."""

    def __init__(self, layer: nn.Module, size: int) -> None:
        super().__init__()
        self.recurrent, self.norm = layer, nn.BatchNorm1d(size)
        self.frozen, self.output = nn.Dropout(0.5).eval(), nn.Linear(size, 1)

    def train(self, mode: bool = True) -> Net:
        super().train(mode)
        self.frozen.eval()
        return self


class Memory(Task):
    """Ragged rows of noise, of which one has no steps: the first number is wanted at the end."""

    name, splits = "memory", ("train",)

    def __init__(self, layer: str) -> None:
        self.layer = layer

    def build(self) -> nn.Module:
        match self.layer:
            case "stack":
                layers = Dropout(Recurrent(LSTM(1, 4)), 0.5), Recurrent(GRU(4, 4))
                return Net(Stack(*layers), 4)
            case "both ways":
                return Net(Bidirectional(GRU(1, 2), Leaky(1, 2)), 4)
            case "drop-in":
                return Net(elman.LSTM(1, 4, num_layers=2, batch_first=True, dropout=0.5), 4)
            case _:
                return Net(Recurrent(Leaky(1, 4), init=None, engine=self.layer), 4)

    def batches(self, split: str, epoch: int = 0) -> list[Series]:
        draw = torch.Generator().manual_seed(epoch)
        x = torch.rand(5, 9, 1, generator=draw)
        return [Series(x, x[:, :1, 0]) for _ in range(3)]

    def loss(
        self, batch: Series, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        net, lengths = self.network, torch.tensor([9, 3, 0, 9, 5])
        hidden, *_ = net.recurrent(batch.inputs, lengths=lengths)
        scores = net.output(net.frozen(net.norm(hidden.sum(1))))
        return (scores - batch.targets).square().sum(), None


LAYERS = ["stack", "both ways", "drop-in", "native", "reference"]


def trained(path: Path, task: Task, **values: Any) -> tuple[Run, list[dict[str, Any]]]:
    folder = Run.create(path, {"format": FORMAT})
    whole = TrainConfig.parse({"epochs": 3, "bptt": "full", "lr": 0.05, **values})
    fit(task, whole, folder)
    return folder, folder.events()


@pytest.mark.parametrize("layer", LAYERS)
def test_weights_are_bitwise_those_of_a_run_without(tmp_path: Path, layer: str) -> None:
    off, _ = trained(tmp_path / "off", Memory(layer))
    on, events = trained(tmp_path / "on", Memory(layer), watch=True, watch_every=1)
    assert len(named(events, "watch")) == 9
    for part in ("model", "optimizer", "state"):
        with_watch, without = (getattr(r.load("last"), part) for r in (on, off))
        assert with_watch.keys() == without.keys()
        assert all(torch.equal(with_watch[name], without[name]) for name in without)


def test_off_writes_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    events, result = run(tmp_path, Sums())
    assert not named(events, "watch")
    assert result.run.load("last").progress["norms"] == []


def test_every_update_has_its_norm_and_looks_are_at_the_interval(tmp_path: Path) -> None:
    events, _ = run(tmp_path, Sums(), clip="norm", clip_limit=0.5, epochs=3, **WATCHED)
    watched, logged = named(events, "watch"), named(events, "train")
    assert [event["update"] for event in watched] == [1, 3, 6, 9, 12, 15, 18]
    assert [n for event in watched for n in event["norms"]] == [e["norm"] for e in logged]
    shares = [sum(e["clipped"] for e in logged[i : i + 3]) / 3 for i in range(3, 18, 3)]
    assert [event["clipped"] for event in watched[2:]] == pytest.approx(shares)
    assert 0 < sum(shares) < 5


def test_ratios_are_those_of_the_update(tmp_path: Path) -> None:
    class Holding(Sums):
        def build(self) -> nn.Module:
            model = super().build()
            self.before = {n: p.detach().clone() for n, p in model.named_parameters()}
            return model

    task = Holding()
    events, _ = run(tmp_path, task, epochs=None, max_steps=1, **WATCHED)
    after = task.network.state_dict()
    moved = {n: float((after[n] - b).norm() / b.norm()) for n, b in task.before.items()}
    assert named(events, "watch")[0]["ratios"] == pytest.approx(moved)


def test_the_gradient_inside_is_that_of_the_window(tmp_path: Path) -> None:
    """Over two windows of four steps, from the state that was carried, and of the mean."""
    task = Sums()
    events, _ = run(tmp_path, task, epochs=None, max_steps=2, lr=1e-12, **WATCHED)
    (batch, _), layer = list(task.batches("train")), task.network.recurrent
    *_, state = layer(batch.inputs[:, :4])
    outputs = []
    for x in batch.inputs[:, 4:8].unbind(1):
        _, state = layer.step(x, state)
        state.h.retain_grad()
        outputs.append(state.h)
    error = task.network.output(torch.stack(outputs, 1)) - batch.targets[:, 4:8]
    (error.square().sum() / 16).backward()
    seen = named(events, "watch")[1]["layers"]["recurrent"]
    assert seen["steps"] == [0, 1, 2, 3]
    assert seen["gradient"]["h"] == pytest.approx([float(h.grad.norm()) for h in outputs])
    h = torch.stack(outputs).detach()
    assert seen["states"]["h"]["rms"] == pytest.approx(float(h.square().mean().sqrt()), rel=1e-5)


def test_layers_are_named_and_gates_summed_up_at_real_steps(tmp_path: Path) -> None:
    _, events = trained(tmp_path / "a", Memory("both ways"), **WATCHED)
    layers = named(events, "watch")[-1]["layers"]
    assert set(layers) == {"recurrent.directions.0", "recurrent.directions.1"}
    gates = layers["recurrent.directions.1"]["gates"]
    assert 0.1 < gates["leak"]["mean"] < 0.9  # with the zeros of padding it would be half of that
    assert gates["leak"]["low"] == gates["leak"]["high"] == 0
    forwards, backwards = (layers[f"recurrent.directions.{i}"]["gradient"]["h"] for i in (0, 1))
    assert all(norm > 0 for norm in (*forwards, *backwards))
    _, events = trained(tmp_path / "b", Memory("drop-in"), **WATCHED)
    assert set(named(events, "watch")[-1]["layers"]) == {"recurrent l0", "recurrent l1"}


def test_saturated_gates_and_dead_units_show(tmp_path: Path) -> None:
    class Stuck(Sums):
        def build(self) -> nn.Module:
            model = super().build()
            model.recurrent = Recurrent(LSTM(1, 3, dtype=torch.float64))
            with torch.no_grad():
                for gate, bias in enumerate((-1e4, 50.0, 0.0, 0.0)):
                    model.recurrent.cell.bias_ih.view(4, 3)[gate] = bias
            return model

    events, _ = run(tmp_path, Stuck(), **WATCHED, lr=1e-12)
    seen = named(events, "watch")[0]["layers"]["recurrent"]
    assert (seen["gates"]["store"]["low"], seen["gates"]["forget"]["high"]) == (1, 1)
    assert seen["states"]["c"]["dead"] == 1
    assert (seen["gates"]["output"]["low"], seen["gates"]["output"]["high"]) == (0, 0)


def test_a_checkpointed_policy_shows_gates_but_no_gradient(tmp_path: Path) -> None:
    events, _ = run(tmp_path, Sums(), bptt="checkpointed", every=5, **WATCHED)
    seen = named(events, "watch")[-1]["layers"]["recurrent"]
    assert "gradient" not in seen
    assert seen["states"]["h"]["rms"] > 0


def test_a_resumed_run_writes_the_same_lines(tmp_path: Path) -> None:
    class Stopping(Sums):
        def loss(self, *args: Any, **options: Any) -> tuple[Tensor, State]:
            if len(self.windows) == 7:
                raise KeyboardInterrupt
            return super().loss(*args, **options)

    values: dict[str, Any] = {**WATCHED, "watch_every": 5, "clip": "norm", "clip_limit": 0.1}
    _, whole = run(tmp_path, Sums(), **values)
    folder = Run.create(tmp_path / "cut", {"format": FORMAT})
    with pytest.raises(KeyboardInterrupt):
        fit(Stopping(), config(checkpoint_every=7, **values), folder)
    assert len(folder.load("last").progress["norms"]) == 2  # of updates 6 and 7
    fit(Sums(), config(**values), folder, resume=True)

    def untimed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in e.items() if k != "seconds"} for e in named(events, "watch")]

    assert untimed(folder.events()) == untimed(whole.run.events())


def test_a_run_from_before_the_watch_can_be_resumed(tmp_path: Path) -> None:
    _, result = run(tmp_path, Sums(), epochs=1)
    file = result.run.path / "checkpoints" / "last" / "state.json"
    old = {k: v for k, v in json.loads(file.read_text()).items() if k not in ("norms", "clipped")}
    file.write_text(json.dumps(old))
    fit(Sums(), config(epochs=2, **WATCHED), result.run, resume=True)
    assert named(result.run.events(), "watch")[0]["update"] == 9


def test_the_flag_and_a_language_model(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat\nthe dog sat on the log\n" * 20)
    settings = {
        "data": {"train": [str(tmp_path / "text.txt")], "lanes": 2},
        "model": {"hidden": 6, "layers": 2, "dropout": 0.5},
        "train": {"epochs": 1, "k1": 8, "k2": 12, "lr": 0.02, **WATCHED},
    }
    seen = []
    for watch in (True, False):
        settings["train"]["watch"] = watch
        result = train(config_class("language").parse(settings), tmp_path / f"run-{watch}")
        seen.append((result.run.load("last").model, result.run.events()))
    (on, events), (off, _) = seen
    assert all(torch.equal(on[name], off[name]) for name in off)
    layers = named(events, "watch")[-1]["layers"]
    assert len(layers["recurrent.layers.0.layer"]["gradient"]["c"]) == 12


def diverged(tmp_path: Path, task: Task, **values: Any) -> tuple[str, list[dict[str, Any]]]:
    folder = Run.create(tmp_path / "run", {"format": FORMAT})
    with pytest.raises(Diverged) as caught:
        fit(task, config(**WATCHED, **values), folder)
    return str(caught.value), folder.events()


@pytest.mark.parametrize("policy", ["truncated", "checkpointed"])
def test_a_run_that_diverges_says_where(tmp_path: Path, policy: str) -> None:
    class Spoiled(Sums):
        def batches(self, split: str, epoch: int = 0) -> Any:
            for number, batch in enumerate(super().batches(split, epoch)):
                batch.inputs[2, 5] = math.nan if (epoch, number) == (1, 1) else 0
                yield batch

    message, events = diverged(tmp_path, Spoiled(), bptt=policy, every=4)
    assert "what came in has a first NaN at [2, " in message
    assert "correct the data" in message
    assert "train.lr" not in message
    assert [event["event"] for event in events[-2:]] == ["watch", "diverged"]
    assert events[-1]["first_bad"]["source"] == "data"
    assert events[-2]["norms"][-1] is None  # JSON has no NaN
    assert events[-2]["layers"]["recurrent"]["states"]["h"]["mean"] is None


def test_too_large_a_rate_is_followed_to_the_operation(tmp_path: Path) -> None:
    class Exploding(Sums):
        def build(self) -> nn.Module:
            model = super().build()
            model.recurrent = Recurrent(Elman(1, 3, "relu", dtype=torch.float64))
            return model

    message, events = diverged(tmp_path, Exploding(), lr=1e80, epochs=9)
    found = events[-1]["first_bad"]
    assert (found["value"], found["source"]) == ("inf", "operation")
    assert "the first infinity arises" in message
    assert "lower train.lr" in message


def test_without_the_watch_it_says_so_too(tmp_path: Path) -> None:
    class Spoiled(Sums):
        def batches(self, split: str, epoch: int = 0) -> Any:
            for batch in super().batches(split, epoch):
                batch.inputs[2, 5] = math.nan
                yield batch

    with pytest.raises(
        Diverged, match=r"what came in has a first NaN at \[2, .*: correct the data; "
    ):
        run(tmp_path, Spoiled())
    events = Run.open(tmp_path / "run-0").events()
    assert events[-1]["first_bad"]["source"] == "data"
    assert not named(events, "watch")
