"""The summary of a network: the native engine agrees with the reference, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.cells import GRU, LSTM, Elman
from elman.engine import Recurrence
from elman.inspection import record_loss, summarize
from elman.layers import Bidirectional, Recurrent, Stack

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "stack": lambda: Stack(Recurrent(LSTM(3, 4)), Recurrent(GRU(4, 5))),
    "both ways": lambda: Bidirectional(Elman(3, 4), GRU(3, 2)),
    "drop-in": lambda: elman.GRU(3, 4, num_layers=2, batch_first=True, bidirectional=True),
    "without bias": lambda: elman.RNN(3, 4, bias=False, batch_first=True),
    "projected": lambda: elman.LSTM(3, 4, proj_size=2, batch_first=True),
    "learned start": lambda: Recurrent(GRU(3, 4), learn_initial_state=True),
}
LENGTHS = torch.tensor([7, 3, 0, 5])


def loss_of(output: Tensor) -> Tensor:
    weight = torch.linspace(0.5, 2, output.numel(), dtype=output.dtype).view_as(output)
    return (output * weight).square().sum() / 3


def summed(layer: nn.Module, x: Tensor, **options: Any) -> Callable[[], Tensor]:
    def forward() -> Tensor:
        output: Tensor = layer(x, **options)[0]
        return output[:, -1].sum()

    return forward


@pytest.mark.parametrize("kind", LAYERS)
def test_the_gradient_at_every_step_is_the_references(kind: str) -> None:
    torch.manual_seed(0)
    layer, x = LAYERS[kind]().double(), torch.randn(4, 7, 3, dtype=torch.float64)
    summaries = summarize(layer, lambda: loss_of(layer(x, lengths=LENGTHS)[0]))
    recording, loss = record_loss(layer, x, loss_of, lengths=LENGTHS)
    assert list(summaries) == [track.name for track in recording.tracks]
    for track in recording.tracks:
        states = [state.h for state in track.after]
        gradients = torch.autograd.grad(loss, states, retain_graph=True)
        expected = [float(g.norm()) for g in gradients]
        assert summaries[track.name]["gradient"]["h"] == pytest.approx(expected, rel=1e-9)


def test_of_other_states_it_is_what_they_hand_to_the_next_step() -> None:
    layer, x = Recurrent(LSTM(3, 4)).double(), torch.randn(2, 5, 3, dtype=torch.float64)
    summaries = summarize(layer, summed(layer, x))
    state, handed = None, []
    for x_t in x.unbind(1):
        h, state = layer.step(x_t, state)
        handed.append(state.c.view_as(state.c))
        state = state._replace(c=handed[-1])
    gradients = torch.autograd.grad(h.sum(), handed[:-1])
    expected = [*(float(g.norm()) for g in gradients), 0.0]
    assert summaries["Recurrent"]["gradient"]["c"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", [k for k in LAYERS if k != "projected"])
def test_it_runs_on_the_native_engine(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = LAYERS[kind](), torch.randn(4, 7, 3)
    if "native" not in elman.explain(layer, x).engines:
        pytest.skip("this installation has no native engine")

    def refuse(_: Any) -> Any:
        raise AssertionError("the reference ran")

    monkeypatch.setattr(Recurrence, "scan", refuse)
    assert summarize(layer, lambda: loss_of(layer(x, lengths=LENGTHS)[0]))


def test_modes_buffers_random_state_and_gradients_stay() -> None:
    net = nn.ModuleList([Recurrent(GRU(3, 4)), nn.BatchNorm1d(4), nn.Dropout().eval()])
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    modes, drawn = [m.training for m in net.modules()], torch.get_rng_state()

    def forward() -> Tensor:
        net[1].num_batches_tracked += 1  # as a module may that counts its calls
        return net[1](net[0](torch.randn(2, 5, 3))[0][:, -1]).sum()

    summarize(net, forward)
    assert [m.training for m in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    assert all(p.grad is None for p in net.parameters())


def test_calls_of_one_layer_go_on_in_time() -> None:
    layer, x = Recurrent(GRU(3, 4)), torch.randn(2, 6, 3)

    def stepwise() -> Tensor:
        state = None
        for x_t in x.unbind(1):
            output, state = layer.step(x_t, state)
        return output.sum()

    whole, steps = summarize(layer, summed(layer, x)), summarize(layer, stepwise)
    assert steps["Recurrent"]["gradient"]["h"] == pytest.approx(
        whole["Recurrent"]["gradient"]["h"], rel=1e-5
    )
    assert steps["Recurrent"]["gates"]["update"] == pytest.approx(
        whole["Recurrent"]["gates"]["update"], rel=1e-5
    )


def test_a_layer_that_shows_its_gates_to_the_task_still_does() -> None:
    layer, x = Recurrent(GRU(3, 4)), torch.randn(2, 6, 3)

    def forward() -> Tensor:
        update: Tensor = layer(x, observe=True)[2]["update"]
        return update.sum()

    summaries = summarize(layer, forward)
    assert summaries["Recurrent"]["gradient"]["h"][0] > 0


def test_of_long_sequences_some_steps_are_kept() -> None:
    layer, x = Recurrent(Elman(3, 4)), torch.randn(2, 100, 3)
    summary = summarize(layer, summed(layer, x))["Recurrent"]
    assert (len(summary["steps"]), summary["steps"][0], summary["steps"][-1]) == (32, 0, 99)
    assert len(summary["gradient"]["h"]) == 32


def test_in_bfloat16_and_where_nothing_is_real() -> None:
    layer, x = Recurrent(LSTM(3, 4)).bfloat16(), torch.randn(2, 6, 3).bfloat16()
    summary = summarize(layer, summed(layer, x))["Recurrent"]
    assert 0 < summary["gates"]["forget"]["mean"] < 1
    assert summary["gradient"]["c"][0] > 0
    none = summarize(layer, summed(layer, x, lengths=torch.tensor([0, 0])))["Recurrent"]
    assert none["gates"]["forget"] == {}
    assert none["gradient"]["h"] == [0] * 6
