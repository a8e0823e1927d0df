"""Wrappers of cells against loops written out in float64, and the statistics of their masks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, sigmoid, tanh
from torch.nn import functional as F

import elman
import sampling
from elman import cells
from elman.cells import (
    GRU,
    LSTM,
    Cell,
    ClippedState,
    LearnedState,
    NormalizedGates,
    NormalizedState,
    Projected,
    RecurrentDropout,
    Residual,
    WeightDrop,
    Zoneout,
)
from elman.testing import check_cell, check_engine
from unit.engine.linear_cells import OnBothStates

STEPS, ROWS, INPUTS, UNITS = 6, 3, 4, 5


def composed() -> Cell:
    inner = RecurrentDropout(NormalizedGates(LSTM(INPUTS, UNITS)), 0.2)
    outer = Zoneout(Residual(ClippedState(inner, 0.9)), {"h": 0.1, "c": 0.3})
    return WeightDrop(LearnedState(outer), 0.3)


MAKERS: dict[str, Callable[[], Cell]] = {
    "zoneout": lambda: Zoneout(LSTM(INPUTS, UNITS), 0.3),
    "recurrent dropout": lambda: RecurrentDropout(GRU(INPUTS, UNITS), 0.3),
    "weight drop": lambda: WeightDrop(LSTM(INPUTS, UNITS), 0.3),
    "normalized gates": lambda: NormalizedGates(GRU(INPUTS, UNITS)),
    "normalized state": lambda: NormalizedState(LSTM(INPUTS, UNITS), ("h", "c")),
    "residual": lambda: Residual(GRU(INPUTS, UNITS)),
    "learned state": lambda: LearnedState(LSTM(INPUTS, UNITS)),
    "clipped state": lambda: ClippedState(LSTM(INPUTS, UNITS), 0.1),
    "composed": composed,
    "around a cell with matrices": lambda: WeightDrop(
        Zoneout(RecurrentDropout(OnBothStates(INPUTS, UNITS), 0.2), 0.1), 0.2, ("cell.cell.of_c",)
    ),
}


# Loops written out: an LSTM or a GRU whose step may be changed in some places.


def lstm(w: Any, inp: Tensor, rec: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (inp + rec).chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def affine(cell: Any, x: Tensor, h: Tensor, hh: Tensor | None = None) -> tuple[Tensor, Tensor]:
    w = cell.weights
    return F.linear(x, w.ih, w.b_ih), F.linear(h, w.hh if hh is None else hh, w.b_hh)


def zeros() -> tuple[Tensor, Tensor]:
    return (torch.zeros(ROWS, UNITS).double(),) * 2


def drawn(*size: int) -> Tensor:
    return torch.rand(size, dtype=torch.float32)


def zoneout_eval(cell: Any, x: Tensor) -> Tensor:
    h, c = zeros()
    outputs = []
    for x_t in x:
        new_h, new_c = lstm(cell, *affine(cell.cell, x_t, h), c)
        h, c = 0.3 * h + 0.7 * new_h, 0.3 * c + 0.7 * new_c
        outputs.append(h)
    return torch.stack(outputs)


def zoneout_training(cell: Any, x: Tensor) -> Tensor:
    stays_h, stays_c = (drawn(STEPS, ROWS, UNITS) < 0.3 for _ in range(2))
    h, c = zeros()
    outputs = []
    for t, x_t in enumerate(x):
        new_h, new_c = lstm(cell, *affine(cell.cell, x_t, h), c)
        h, c = torch.where(stays_h[t], h, new_h), torch.where(stays_c[t], c, new_c)
        outputs.append(h)
    return torch.stack(outputs)


def dropout_training(cell: Any, x: Tensor) -> Tensor:
    kept = (drawn(ROWS, UNITS) >= 0.3).double() / 0.7
    h, _ = zeros()
    outputs = []
    for x_t in x:
        inp, rec = affine(cell.cell, x_t, kept * h)
        (ir, iz, i_n), (hr, hz, hn) = inp.chunk(3, -1), rec.chunk(3, -1)
        z, n = sigmoid(iz + hz), tanh(i_n + sigmoid(ir + hr) * hn)
        h = (1 - z) * n + z * h  # the state itself is whole
        outputs.append(h)
    return torch.stack(outputs)


def weight_drop_training(cell: Any, x: Tensor) -> Tensor:
    hh = F.dropout(cell.cell.weight_hh, 0.3)  # once, for all steps
    h, c = zeros()
    outputs = []
    for x_t in x:
        h, c = lstm(cell, *affine(cell.cell, x_t, h, hh), c)
        outputs.append(h)
    return torch.stack(outputs)


def normalized_gates(cell: Any, x: Tensor) -> Tensor:
    w, h = cell.cell.weights, zeros()[0]

    def norm(a: Tensor, gain: Tensor) -> Tensor:
        spread = a.var(-1, keepdim=True, correction=0) + 1e-5
        return gain * (a - a.mean(-1, keepdim=True)) / spread.sqrt()

    outputs = []
    for x_t in x:
        inp = norm(x_t @ w.ih.T, cell.norm_ih.weight) + w.b_ih
        rec = norm(h @ w.hh.T, cell.norm_hh.weight) + w.b_hh
        (ir, iz, i_n), (hr, hz, hn) = inp.chunk(3, -1), rec.chunk(3, -1)
        z, n = sigmoid(iz + hz), tanh(i_n + sigmoid(ir + hr) * hn)
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs)


def normalized_state(cell: Any, x: Tensor) -> Tensor:
    h, c = zeros()
    outputs = []
    for x_t in x:
        h, c = lstm(cell, *affine(cell.cell, x_t, h), c)
        h, c = (F.layer_norm(s, (UNITS,), n.weight, n.bias) for s, n in zip((h, c), cell.norms))  # noqa: B905
        outputs.append(h)
    return torch.stack(outputs)


def residual(cell: Any, x: Tensor) -> Tensor:
    plain, _ = elman.Recurrent(cell.cell, batch_first=False, engine="reference")(x)
    return plain + x @ cell.shortcut.weight.T  # type: ignore[no-any-return]


def learned_state(cell: Any, x: Tensor) -> Tensor:
    state = cell.State(*(cell.initial[s].expand(ROWS, -1) for s in ("h", "c")))
    layer = elman.Recurrent(cell.cell, batch_first=False, engine="reference")
    return layer(x, state)[0]  # type: ignore[no-any-return]


def clipped_state(cell: Any, x: Tensor) -> Tensor:
    h, c = zeros()
    outputs = []
    for x_t in x:
        h, c = (s.clamp(-0.1, 0.1) for s in lstm(cell, *affine(cell.cell, x_t, h), c))
        outputs.append(h)
    return torch.stack(outputs)


LOOPS: list[tuple[str, bool, Callable[[Any, Tensor], Tensor]]] = [
    ("zoneout", False, zoneout_eval),
    ("zoneout", True, zoneout_training),
    ("recurrent dropout", True, dropout_training),
    ("weight drop", True, weight_drop_training),
    ("normalized gates", True, normalized_gates),
    ("normalized state", True, normalized_state),
    ("residual", True, residual),
    ("learned state", True, learned_state),
    ("clipped state", True, clipped_state),
]


EVERYWHERE = sampling.cases(
    [
        (name, dtype, training)
        for name in MAKERS
        for dtype in (torch.float32, torch.float64)
        for training in (True, False)
    ],
    12,
)


def layer_of(name: str, training: bool, **options: Any) -> elman.Recurrent:
    torch.manual_seed(7)
    layer = elman.Recurrent(MAKERS[name](), **options).double().train(training)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.6)
    return layer


def sequence() -> Tensor:
    return torch.randn(STEPS, ROWS, INPUTS, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize(("name", "training", "loop"), LOOPS)
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_it_equals_the_loop_that_is_written_out(
    name: str, training: bool, loop: Callable[[Any, Tensor], Tensor], engine: str
) -> None:
    layer = layer_of(name, training, batch_first=False, engine=engine)
    torch.manual_seed(2)
    output = layer(sequence())[0]
    torch.manual_seed(2)
    expected = loop(layer.cell, sequence())
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    gradients = [
        torch.autograd.grad(y.square().sum(), parameters, allow_unused=True, materialize_grads=True)
        for y in (output, expected)
    ]
    for of, *pair in zip(names, *gradients, strict=True):
        torch.testing.assert_close(*pair, rtol=0, atol=1e-10, msg=of)


@pytest.mark.parametrize("name", ["recurrent dropout", "weight drop"])
def test_dropout_does_nothing_in_eval_mode(name: str) -> None:
    layer = layer_of(name, False)
    plain = elman.Recurrent(layer.cell.cell)  # type: ignore[arg-type]
    torch.testing.assert_close(layer(sequence())[0], plain(sequence())[0], rtol=0, atol=1e-12)


# Masks


def test_masks_of_zoneout_have_its_rates_and_change_with_time() -> None:
    cell = Zoneout(LSTM(2, 40), {"h": 0.2, "c": 0.6})
    _, of_h, of_c = cell.project(torch.randn(50, 20, 2))
    for stays, rate in ((of_h, 0.2), (of_c, 0.6)):
        assert stays.shape == (50, 20, 40)
        assert abs(stays.float().mean() - rate) < 0.01  # 5 standard deviations of 40,000 draws
        assert not torch.equal(stays[0], stays[1])


def test_recurrent_dropout_has_one_mask_for_all_steps_and_another_for_each_row() -> None:
    cell = RecurrentDropout(GRU(2, 40), 0.25)
    _, kept = cell.project(torch.randn(7, 500, 2))
    assert kept.shape == (7, 500, 40)
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert not torch.equal(kept[:, 0], kept[:, 1])
    assert set(kept.unique().tolist()) == {0.0, kept.max().item()}
    assert kept.max().item() == pytest.approx(1 / 0.75)
    assert abs(kept.mean() - 1) < 0.03


def test_weight_drop_draws_once_a_call() -> None:
    cell = WeightDrop(LSTM(2, 50), 0.4)
    (name, first), (_, second) = (*cell.draw().items(), *cell.draw().items())
    assert name == "cell.weight_hh"
    assert not torch.equal(first, second)
    zero = first.eq(0)
    assert abs(zero.float().mean() - 0.4) < 0.03
    torch.testing.assert_close(first[~zero], cell.cell.weight_hh[~zero] / 0.6)  # type: ignore[index]
    assert not cell.eval().draw()


def test_the_same_seed_gives_the_same_masks_in_every_precision() -> None:
    outputs = []
    for dtype in (torch.float32, torch.float64):
        layer = layer_of("composed", True).to(dtype)
        torch.manual_seed(3)
        outputs.append(layer(sequence().to(dtype))[0].double())
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-4)


# All of them, everywhere a cell goes


@pytest.mark.parametrize(("name", "dtype", "training"), EVERYWHERE)
def test_it_runs_natively_as_by_the_reference(
    name: str, dtype: torch.dtype, training: bool
) -> None:
    layer = layer_of(name, training).to(dtype)
    x = sequence().transpose(0, 1).to(dtype)
    assert elman.explain(layer, x).engines == {"native"}
    masks = {
        "lengths": torch.tensor([STEPS, 0, 4]),
        "reset": torch.rand(ROWS, STEPS, generator=torch.Generator().manual_seed(5)) < 0.3,
    }
    outputs = []
    for engine in ("native", "reference"):
        torch.manual_seed(4)
        with elman.use_engine(engine):
            output, state = layer(x, **masks)
        loss = output.square().sum() + sum(s.sum() for s in state)
        outputs.append(
            [output, *state, *torch.autograd.grad(loss, [*layer.parameters()], allow_unused=True)]
        )
    tolerance = 1e-10 if dtype is torch.float64 else 2e-3
    for ours, theirs in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", sampling.cases([*MAKERS], 2))
def test_contracts_of_a_cell(name: str) -> None:
    check_cell(lambda: MAKERS[name]().eval())


@pytest.mark.unchecked
@pytest.mark.parametrize("name", sampling.cases([*MAKERS], 1))
@pytest.mark.parametrize("training", [True, False])
def test_contracts_of_the_engine(name: str, training: bool) -> None:
    cases = sampling.count(100, 2)
    check_engine("native", lambda: MAKERS[name]().train(training), cases=cases)


@pytest.mark.parametrize("name", ["weight drop", "composed"])
def test_copies_compute_the_same(name: str) -> None:
    layer = layer_of(name, True)
    again = layer_of(name, True)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    again.load_state_dict(layer.state_dict())
    copies = [layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), again]
    outputs = []
    for each in copies:
        torch.manual_seed(6)
        output, state = each(sequence().transpose(0, 1))
        outputs.append(output)
        assert type(pickle.loads(pickle.dumps(state))) is type(state)
    assert all(torch.equal(outputs[0], o) for o in outputs)


def test_all_that_is_put_together_of_layers() -> None:
    below = elman.Bidirectional(composed(), composed())
    model = elman.Stack(
        below,
        elman.Recurrent(Zoneout(RecurrentDropout(LSTM(below.output_size, UNITS), 0.2), 0.1)),
    )
    x = torch.randn(ROWS, STEPS, INPUTS)
    output, _ = model(x, lengths=torch.tensor([2, 6, 0]))
    output.sum().backward()
    assert all(p.grad is not None for p in model.layers[1].parameters())


def test_a_stream_is_in_eval_mode() -> None:
    layer = layer_of("composed", True)
    x = sequence().transpose(0, 1)
    stream = elman.Stream(layer, ROWS)
    output = torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)
    torch.testing.assert_close(output, layer.eval()(x)[0], rtol=0, atol=1e-12)


def test_what_a_cell_is_stands_on_its_wrappers() -> None:
    cell = composed()
    assert cell.states == cell.State._fields == ("output", "h", "c")
    assert (cell.retention, cell.memory_gate) == ("forget", "f")
    assert cell.state_sizes == (UNITS,) * 3
    elman.init.initialize(cell, "forget_bias")
    core = next(m for m in cell.modules() if isinstance(m, LSTM))
    assert core.bias_ih is not None
    assert core.bias_ih.chunk(4)[1].eq(1).all()
    *_, seen = elman.Recurrent(cell)(torch.randn(ROWS, STEPS, INPUTS), observe=True)
    assert {"store", "forget", "output", "h", "c"} <= seen.keys()


def test_a_projected_cell_can_be_wrapped() -> None:
    layer = elman.Recurrent(Zoneout(Projected(LSTM(INPUTS, 8), 3), {"h": 0.2, "c": 0.4}))
    output, state = layer(torch.randn(ROWS, STEPS, INPUTS))
    assert (output.shape, state.c.shape) == ((ROWS, STEPS, 3), (ROWS, 8))


def test_a_reset_restarts_from_the_learned_state() -> None:
    layer = layer_of("learned state", True)
    x = sequence().transpose(0, 1)
    reset = torch.zeros(ROWS, STEPS, dtype=torch.bool)
    reset[:, 3] = True
    state = layer.cell.State(*(torch.randn(ROWS, UNITS).double() for _ in range(2)))
    output, _ = layer(x, state, reset=reset)
    torch.testing.assert_close(output[:, 3:], layer(x[:, 3:])[0], rtol=0, atol=1e-12)
    assert not torch.allclose(output[:, :3], layer(x)[0][:, :3])


def test_what_looks_inside_sees_the_weights_of_the_call() -> None:
    layer = layer_of("weight drop", True)
    x = sequence().transpose(0, 1)
    torch.manual_seed(8)
    expected = layer(x)[0]
    for record in (elman.inspection.record_activations, elman.inspection.record):
        torch.manual_seed(8)
        (track,) = record(layer, x).tracks
        torch.testing.assert_close(track.calls[0].output.transpose(0, 1), expected)
    with pytest.raises(elman.ConfigError, match=r"got cell.weight_hh .* use eval\(\)"):
        elman.inspection.lyapunov(layer, x)


def test_a_cell_of_one_s_own_may_hold_a_wrapper() -> None:
    class Doubled(Cell):
        states = ("h",)

        def __init__(self) -> None:
            super().__init__(INPUTS, UNITS)
            self.inner = WeightDrop(GRU(INPUTS, UNITS), 0.5)

        def project(self, x: Tensor) -> Any:
            return self.inner.project(x)

        def step(self, inp: Any, state: Any) -> Any:
            (h,) = self.inner.step(inp, state)
            return self.State(2 * h)

    layer, outputs = elman.Recurrent(Doubled()).double(), []
    for engine in ("native", "reference"):
        torch.manual_seed(9)
        with elman.use_engine(engine):
            outputs.append(layer(sequence())[0])
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    assert not torch.allclose(layer(sequence())[0], outputs[0])


def test_a_bare_step_of_dropped_weights_is_refused() -> None:
    cell = WeightDrop(GRU(2, 3))
    inp = cell.project(torch.randn(4, 2))
    with pytest.raises(elman.ConfigError, match="draws for whole sequences"):
        cell.step(inp, cell.initial_state(4))
    cell.eval().step(inp, cell.initial_state(4))


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Zoneout(LSTM(2, 3), 1.0), elman.ConfigError, "at least 0 and below 1, got 1.0"),
    (lambda: Zoneout(LSTM(2, 3), {"c": -0.1}), elman.ConfigError, "rate of 'c' .* got -0.1"),
    (lambda: Zoneout(LSTM(2, 3), {"cc": 0.1}), elman.ConfigError, "unknown state 'cc'"),
    (lambda: Zoneout(LSTM(2, 3), True), elman.DtypeError, "must be a number, got bool"),
    (lambda: Zoneout(nn.Linear(2, 3), 0.1), elman.DtypeError, "Cell, got Linear"),  # type: ignore[arg-type]
    (lambda: RecurrentDropout(LSTM(2, 3), 1.5), elman.ConfigError, "below 1, got 1.5"),
    (
        lambda: RecurrentDropout(Zoneout(LSTM(2, 3)), 0.2),
        elman.ConfigError,
        r"inside of Zoneout.*use Zoneout\(RecurrentDropout\(cell",
    ),
    (lambda: WeightDrop(OnBothStates(2, 3)), elman.ConfigError, "use names= with some of"),
    (
        lambda: WeightDrop(GRU(2, 3), 0.5, ("weight_h",)),
        elman.ConfigError,
        "did you mean 'weight_hh'",
    ),
    (lambda: WeightDrop(WeightDrop(GRU(2, 3))), elman.ConfigError, "drop a parameter once"),
    (lambda: NormalizedGates(OnBothStates(2, 3)), elman.ConfigError, "use NormalizedState"),  # type: ignore[arg-type]
    (lambda: NormalizedState(GRU(2, 3), ("c",)), elman.ConfigError, "unknown state 'c'"),
    (lambda: NormalizedState(GRU(2, 3), "h"), elman.DtypeError, r"use \('h',\)"),
    (lambda: Residual(GRU(2, 3), projection=False), elman.ConfigError, "use projection=True"),
    (lambda: Residual(Residual(GRU(2, 3))), elman.ConfigError, "distinct identifiers"),
    (lambda: ClippedState(GRU(2, 3), 0), elman.ConfigError, "positive and finite, got 0"),
]


@pytest.mark.parametrize(("make", "error", "words"), WRONG)
def test_a_wrong_option_is_a_clear_error(
    make: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()


@pytest.mark.compile
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated")
def test_it_compiles_as_other_cells_do() -> None:
    layer = layer_of("composed", True)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    outputs = []
    for each in (layer, compiled):
        torch.manual_seed(10)
        outputs.append(each(sequence())[0])
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)


def test_all_wrappers_are_public() -> None:
    for kind in {type(m) for make in MAKERS.values() for m in make().modules()}:
        if issubclass(kind, cells.Wrapper):
            assert getattr(cells, kind.__name__) is kind
            for part in (".. math::", "References:", ">>> "):
                assert part in str(kind.__doc__)
