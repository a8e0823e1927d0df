"""The states inside the scan, of everything that recurs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman import Bidirectional, Recurrent, Residual, Stack
from elman._errors import ConfigError, DtypeError
from elman.cells import GRU, LSTM, Elman, PointwiseCell
from elman.inspection import record, record_loss


class Leaky(PointwiseCell):
    """A user's own cell, with a second state that is handed on as it is."""

    gates, states = ("z", "leak"), ("h", "age")

    def pointwise(self, inp: Any, rec: Any, state: Any) -> Any:
        leak = torch.sigmoid(inp.leak + rec.leak)
        self.watch(leak=leak)
        h = (1 - leak) * state.h + leak * torch.tanh(inp.z + rec.z) + 0.1 * state.age
        return self.State(h=h, age=state.age)


class Loop(nn.Module):
    """A model that steps a cell itself."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = elman.LSTMCell(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for x_t in x.unbind(1):
            state = self.cell(x_t, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1)


MODELS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "cell": (lambda: GRU(3, 5), ["Recurrent"]),
    "own cell": (lambda: Recurrent(Leaky(3, 5)), ["Recurrent"]),
    "stack": (
        lambda: Stack(Recurrent(LSTM(3, 5)), Residual(Recurrent(GRU(5, 5)))),
        ["layers.0", "layers.1.layer"],
    ),
    "bidirectional": (
        lambda: Bidirectional(LSTM(3, 5), Elman(3, 4)),
        ["directions.0", "directions.1"],
    ),
    "drop-in": (
        lambda: nn.Sequential(elman.LSTM(3, 5, 2, bidirectional=True, batch_first=True)),
        ["0 l0", "0 l0_reverse", "0 l1", "0 l1_reverse"],
    ),
    "loop": (Loop, ["cell"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_recurrence_is_found_and_changes_nothing(name: str) -> None:
    make, names = MODELS[name]
    model, x = make(), torch.randn(2, 7, 3)
    recording = record(model, x)
    assert [track.name for track in recording.tracks] == names
    assert all(len(track) == 7 and track.rows == 2 for track in recording.tracks)
    expected = model(x) if not isinstance(model, elman.cells.Cell) else Recurrent(model)(x)
    output = expected if isinstance(expected, Tensor) else expected[0]
    torch.testing.assert_close(recording.output, output)


def test_states_are_those_of_the_scan_in_the_order_of_time() -> None:
    layer, x = Recurrent(LSTM(3, 5), reverse=True), torch.randn(2, 7, 3)
    lengths, reset = torch.tensor([7, 4]), torch.zeros(2, 7, dtype=torch.bool)
    reset[0, 2] = True
    track = record(layer, x, lengths=lengths, reset=reset, gates=True).track()
    _, _, seen = layer(x, lengths=lengths, reset=reset, observe=True)
    for t in range(7):
        on = track.active[t]
        assert on.tolist() == [True, t < 4]
        torch.testing.assert_close(track.after[t].c[on], seen["c"][:, t][on])
        torch.testing.assert_close(track.activations["forget"][t][on], seen["forget"][:, t][on])
    assert [flags.tolist() for flags in track.restarted] == [[t == 1, False] for t in range(7)]
    assert not track.before[1].c[0].any()
    assert torch.equal(track.before[0].c[0], track.after[1].c[0])


def test_a_loop_over_steps_is_one_track_and_another_sequence_is_another() -> None:
    layer, x = Recurrent(GRU(3, 5)), torch.randn(2, 7, 3)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            _, state = self.layer(x[:, :3])
            first, _ = self.layer(x[:, 3:], state)
            return first + self.layer(x[:, 3:])[0]

    recording = record(Twice(), x)
    assert [(t.name, len(t)) for t in recording.tracks] == [("layer", 7), ("layer#2", 4)]
    torch.testing.assert_close(recording.tracks[0].after[6].h, layer(x)[1].h)


def test_what_a_cell_hands_on_is_a_node_for_each_step() -> None:
    layer = Recurrent(Leaky(3, 5))
    recording, loss = record_loss(layer, torch.randn(2, 7, 3), lambda h: h[:, -1].sum())
    ages = [s.age for s in recording.track().after]
    gradients = torch.autograd.grad(loss, ages, allow_unused=True)
    assert gradients[-1] is None  # nothing comes after it
    assert gradients[5] is not None
    assert not torch.equal(gradients[5], gradients[4])  # type: ignore[arg-type]


def test_frozen_weights_and_no_grad_are_no_obstacle() -> None:
    layer = Recurrent(LSTM(3, 5)).requires_grad_(False)
    with torch.no_grad():
        recording, loss = record_loss(layer, torch.randn(2, 7, 3), lambda h: h.sum())
    assert all(g.any() for g in torch.autograd.grad(loss, [s.c for s in recording.track().after]))


def test_what_cannot_be_recorded_is_refused() -> None:
    x = torch.randn(2, 7, 3)
    with pytest.raises(ConfigError, match=r"elman\.convert"):
        record(nn.Sequential(nn.LSTM(3, 5)), x)
    with pytest.raises(ConfigError, match="no layer of elman ran inside Linear"):
        record(nn.Linear(3, 5), x)
    with pytest.raises(DtypeError, match=r"got str: .*elman\.load"):
        record("runs/language-1", x)
    with pytest.raises(ConfigError, match="expected loss="):
        record_loss(GRU(3, 5), x)
    with pytest.raises(ConfigError, match=r"scalar tensor, got shape \(2, 7, 5\)"):
        record_loss(GRU(3, 5), x, lambda h: h)
    with pytest.raises(ConfigError, match="choose with layer= from directions"):
        record(Bidirectional(GRU(3, 5), GRU(3, 5)), x).track()
    stack = Stack(Recurrent(GRU(3, 5)), Recurrent(GRU(5, 5)))
    assert record(stack, x).track(-1).name == record(stack, x).track("layers.1").name


@pytest.mark.compile
def test_a_compiled_model_is_seen_uncompiled() -> None:
    layer, x = Recurrent(GRU(3, 5), engine="reference"), torch.randn(2, 7, 3)
    compiled = torch.compile(layer, backend="eager")
    compiled(x)
    recording = record(compiled, x)
    assert [(t.name, len(t)) for t in recording.tracks] == [("_orig_mod", 7)]
