"""Gradients at the states inside the scan, against closed forms and against autograd."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman import Bidirectional, Recurrent, Residual, Stack
from elman._errors import ConfigError
from elman.cells import GRU, LSTM, Elman
from elman.inspection import Flow, gradient_flow
from unit.inspection.closed import CELLS, linear


def last(output: Tensor) -> Tensor:
    return output[:, -1].sum()


@pytest.mark.parametrize("rho", [0.8, 1.0, 1.1])
def test_a_linear_network_decays_by_rho(rho: float) -> None:
    steps = 40
    flow = gradient_flow(linear(rho), torch.randn(5, steps, 3, dtype=torch.float64), last)
    expected = math.sqrt(6) * rho ** torch.arange(steps - 1, -1, -1, dtype=torch.float64)
    torch.testing.assert_close(flow.per_row[0], expected[:, None].expand(-1, 5))
    torch.testing.assert_close(flow.norm[0], expected * math.sqrt(5))
    half_life = math.log(2) / -math.log(rho) if rho < 1 else math.inf
    for value in flow.decay_rate:
        assert abs(value.item() + math.log(rho)) < 1e-9
    if rho != 1:  # where rounding decides whether it falls
        assert all(abs(v.item() - half_life) < 1e-6 or v == half_life for v in flow.half_life)
    horizon = math.ceil(math.log(0.3) / math.log(rho)) if rho < 1 else math.inf
    assert [v.item() for v in flow.horizon(0.3)] == [horizon] * 3


def test_a_scalar_network_by_hand() -> None:
    """h_t = tanh(w h_{t-1} + x_t): dh_T/dh_t is the product of w (1 - h_j^2)."""
    cell = Elman(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight, value in zip(cell.weights[:4], (1.0, 0.7, 0.0, 0.0), strict=True):
            assert weight is not None
            weight.fill_(value)
    x = torch.tensor([[[0.5], [-1.0], [0.3]]], dtype=torch.float64)
    h1 = math.tanh(0.5)
    h2 = math.tanh(0.7 * h1 - 1.0)
    h3 = math.tanh(0.7 * h2 + 0.3)
    by_h2 = 2 * h3 * 0.7 * (1 - h3**2)
    expected = [abs(by_h2 * 0.7 * (1 - h2**2)), abs(by_h2), abs(2 * h3)]
    flow = gradient_flow(cell, x, lambda h: h[:, -1].square().sum())
    torch.testing.assert_close(flow.norm[0], torch.tensor(expected, dtype=torch.float64))


def test_the_gradient_by_c_counts_the_way_through_h_of_the_same_step() -> None:
    """With one step there is no other: dL/dc = o (1 - tanh(c)^2)."""
    layer = Recurrent(LSTM(2, 3)).double()
    x = torch.randn(2, 1, 2, dtype=torch.float64)
    _, state, seen = layer(x, observe=True)
    expected = (seen["output"][:, 0] * (1 - state.c.tanh().square())).norm(dim=1)
    for lengths in (None, torch.tensor([1, 1])):
        flow = gradient_flow(layer, x, last, lengths=lengths)
        torch.testing.assert_close(flow.states["c"].per_row[0, 0], expected)


@pytest.mark.parametrize("name", CELLS)
def test_padding_and_resets_as_in_a_row_alone(name: str) -> None:
    layer = Recurrent(CELLS[name](3, 4)).double()
    x, lengths = torch.randn(3, 6, 3, dtype=torch.float64), torch.tensor([6, 0, 3])
    reset = torch.zeros(3, 6, dtype=torch.bool)
    reset[0, 2] = True
    flow = gradient_flow(layer, x, lambda h: h.square().sum(), lengths=lengths, reset=reset)
    assert torch.equal(flow.active[0].T.sum(1), lengths)
    for state, norms in flow.states.items():
        assert not norms.per_row[0][~flow.active[0]].any()
        for row, steps in ((0, slice(2, 6)), (2, slice(0, 3))):
            alone = gradient_flow(layer, x[row : row + 1, steps], lambda h: h.square().sum())
            expected = alone.states[state].per_row[0, :, 0]
            torch.testing.assert_close(norms.per_row[0, steps, row], expected)


def test_the_trap_the_output_has_no_gradient_where_the_states_do() -> None:
    layer, x = Recurrent(Elman(3, 8)), torch.randn(16, 30, 3)
    output, _ = layer(x)
    (of_output,) = torch.autograd.grad(last(output), output)
    assert not of_output[:, :-1].any()
    norm = gradient_flow(layer, x, last).norm[0]
    assert (norm > 0).all()
    assert norm[0] < 1e-3 * norm[-1]


def test_contributions_are_the_gradients_of_each_step_of_the_loss() -> None:
    layer = Stack(Recurrent(LSTM(3, 4)), Residual(Recurrent(GRU(4, 4)))).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    flow = gradient_flow(layer, x, lambda h: h.square().sum(), loss_steps=(2, -1))
    assert flow.loss_steps == (2, 5)
    for number, step in enumerate(flow.loss_steps):
        alone = gradient_flow(layer, x, lambda h, step=step: h[:, step].square().sum())
        torch.testing.assert_close(flow.contribution[:, number], alone.norm)
    assert not flow.contribution[:, 0, 3:].any()


class Reader(nn.Module):
    """Reads with one layer's final state, as a classifier does."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        _, state = self.layer(x, lengths=lengths)
        return state.h


def test_a_loss_on_the_final_state_enters_at_each_rows_last_step() -> None:
    model, x = Reader(Recurrent(GRU(3, 4)).double()), torch.randn(3, 6, 3, dtype=torch.float64)
    lengths = torch.tensor([6, 2, 4])
    flow = gradient_flow(model, x, lambda h: h.square().sum(), loss_steps=(3, 5), lengths=lengths)
    whole = flow.per_row[0]
    torch.testing.assert_close(flow.contribution[0, 0], whole[:, 2])
    torch.testing.assert_close(flow.contribution[0, 1], whole[:, 0])
    assert flow.falls[0][:2, 1].isfinite().all()
    assert flow.falls[0][2:, 1].isnan().all()


def test_the_fall_is_of_what_enters_last_and_not_of_the_sum() -> None:
    layer, x = linear(0.8), torch.randn(8, 40, 3, dtype=torch.float64)
    flow = gradient_flow(layer, x, lambda h: h.sum())
    assert flow.norm[0].min() > 1  # it does not fall, as the loss enters everywhere
    assert abs(flow.decay_rate.value.item() + math.log(0.8)) < 1e-9


def test_both_directions_fall_in_their_own() -> None:
    layer = Bidirectional(Elman(3, 8), Elman(3, 8))
    flow = gradient_flow(
        layer, torch.randn(8, 30, 3), lambda h: h[:, -1, :8].sum() + h[:, 0, 8:].sum()
    )
    ahead, back = flow.norm
    assert ahead[0] < 1e-3 * ahead[-1]
    assert back[-1] < 1e-3 * back[0]
    assert (flow.decay_rate.low > 0).all()


class Loop(nn.Module):
    def __init__(self, truncate: bool = False) -> None:
        super().__init__()
        self.cell, self.truncate = elman.LSTMCell(3, 4), truncate

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for t, x_t in enumerate(x.unbind(1)):
            if self.truncate and t == 3:
                assert state is not None
                state = tuple(s.detach() for s in state)
            state = self.cell(x_t, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1)


def test_a_loop_over_steps_is_as_a_layer_and_a_cut_stays_one() -> None:
    loop, x = Loop().double(), torch.randn(2, 6, 3, dtype=torch.float64)
    layer = Recurrent(LSTM(3, 4)).double()
    layer.cell.load_state_dict(loop.cell.state_dict())

    def loss(h: Tensor) -> Tensor:
        return h.square().sum()

    a, b = (gradient_flow(model, x, loss, loss_steps=(4,)) for model in (loop, layer))
    torch.testing.assert_close(a.norm, b.norm)
    torch.testing.assert_close(a.contribution, b.contribution)
    torch.testing.assert_close(a.falls, b.falls, equal_nan=True)
    loop.truncate = True
    cut = gradient_flow(loop, x, last).norm[0]
    assert not cut[:3].any()
    assert cut[3:].all()


def test_layers_of_other_lengths_and_rows_stand_side_by_side() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.below, self.above = Recurrent(GRU(3, 4)), Recurrent(LSTM(4, 5))

        def forward(self, x: Tensor) -> Tensor:
            words = self.below(x.flatten(0, 1))[1].h.unflatten(0, x.shape[:2])
            return self.above(words)[0][:, -1]

    flow = gradient_flow(Two(), torch.randn(2, 4, 7, 3), torch.sum)
    assert flow.layers == ("below", "above")
    assert flow.per_row.shape == (2, 7, 8)
    assert flow.active.sum((1, 2)).tolist() == [7 * 8, 4 * 2]
    assert flow.per_row[flow.active].all()
    assert not flow.per_row[~flow.active].any()
    assert not flow.states["c"].norm[0].any()


def test_whatever_engine_a_layer_asks_for() -> None:
    native, x = Recurrent(GRU(3, 8), engine="native"), torch.randn(4, 20, 3)
    native(x)[0].square().sum().backward()
    torch.optim.SGD(native.parameters(), lr=0.1).step()
    reference = Recurrent(native.cell, engine="reference")
    assert torch.equal(gradient_flow(native, x, last).norm, gradient_flow(reference, x, last).norm)


def test_bfloat16() -> None:
    layer, x = Recurrent(LSTM(3, 8)), torch.randn(16, 20, 3)
    exact = gradient_flow(layer, x, last).norm
    half = gradient_flow(layer.bfloat16(), x.bfloat16(), last).norm
    assert half.dtype == torch.float64
    torch.testing.assert_close(half[0, -5:], exact[0, -5:], rtol=0.05, atol=0)


def test_memory_grows_with_the_steps_and_no_faster() -> None:
    """10,000 steps of 256 units take 1.5 GiB, as the documentation says; here are fewer."""

    def kept(steps: int) -> int:
        storages: dict[int, int] = {}

        def pack(t: Tensor) -> Tensor:
            storages[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            gradient_flow(Recurrent(LSTM(3, 32)), torch.randn(4, steps, 3), last, loss_steps=(-1,))
        return sum(storages.values())

    assert kept(80) < 2.1 * kept(40)


def test_an_lstm_remembers_in_c() -> None:
    cell = LSTM(3, 16)
    elman.init.initialize(cell, partial(elman.init.forget_bias, value=6.0))
    flow = gradient_flow(cell, torch.randn(16, 60, 3), last)
    assert flow.half_life.value.shape == (1,)
    assert flow.states["h"].horizon(0.2).value.item() == flow.horizon(0.2).value.item() == 1
    assert flow.states["c"].horizon(0.2).value.item() == math.inf


@pytest.mark.parametrize("rows", [1, 2, 16])
def test_every_estimate_is_in_its_interval(rows: int) -> None:
    flow = gradient_flow(Recurrent(Elman(3, 16)), torch.randn(rows, 60, 3), last)
    for estimate in (flow.decay_rate, flow.half_life, flow.horizon(1e-4)):
        assert estimate.low < estimate.high
        assert estimate.low <= estimate.value <= estimate.high


def test_what_is_not_there_is_refused() -> None:
    layer, x = Recurrent(GRU(3, 4)), torch.randn(2, 6, 3)
    with pytest.raises(ConfigError, match="expected loss steps from -6 to 5, got 6"):
        gradient_flow(layer, x, last, loss_steps=(6,))
    with pytest.raises(ConfigError, match="between 0 and 1, got 2"):
        gradient_flow(layer, x, last).horizon(2)
    flow: Flow = gradient_flow(layer, x, lambda h: h.sum(), lengths=torch.tensor([0, 1]))
    assert all(v.isnan().all() for v in flow.decay_rate)  # one step is no curve
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 6]), batch_first=True)
    model = elman.GRU(3, 4)
    assert gradient_flow(model, packed, lambda h: h.data.sum()).norm.all()
    with pytest.raises(ConfigError, match="PackedSequence"):
        gradient_flow(model, packed, lambda h: h.data.sum(), loss_steps=(1,))


def test_ragged_rows_fall_together_by_steps_before_their_loss() -> None:
    rho, lengths = 0.8, torch.tensor([30, 9, 21, 14, 30, 25, 30, 11])
    x = torch.randn(len(lengths), 30, 3, dtype=torch.float64)

    def at_each_end(h: Tensor) -> Tensor:
        return h[torch.arange(len(lengths)), lengths - 1].sum()

    flow = gradient_flow(linear(rho), x, at_each_end, lengths=lengths)
    fall = flow.fall(0)
    assert len(fall) == 25  # as far back as half of the rows reach
    torch.testing.assert_close(fall, rho ** torch.arange(25.0, dtype=torch.float64))
    by_step = flow.norm[0].log().diff()  # where steps are counted from the begin, rows drop out
    assert float((by_step - by_step[0]).abs().max()) > 0.1


class Counted(torch.autograd.Function):
    """The sum, which counts how often its gradient was computed."""

    backwards = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x.sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        Counted.backwards += 1
        return grad.expand(ctx.shape)


def test_loss_steps_do_not_cost_a_pass_through_the_loss_each() -> None:
    layer, x = Recurrent(GRU(3, 4)), torch.randn(2, 6, 3)
    passes = []
    for at in ((1,), (0, 1, 2, 3, 4)):
        Counted.backwards = 0
        gradient_flow(layer, x, Counted.apply, loss_steps=at)
        passes.append(Counted.backwards)
    assert passes[0] == passes[1]
