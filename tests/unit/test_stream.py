"""Streams give what whole sequences give, row by row, and keep nothing else."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

import elman
from elman import Stream
from elman.cells import GRU, LSTM, Projected

X = torch.randn(3, 6, 4, dtype=torch.float64)


def stack() -> elman.Stack:
    """Everything that can step, one above the other."""
    below = elman.Recurrent(LSTM(4, 5), learn_initial_state=True)
    above = elman.Residual(elman.Recurrent(GRU(5, 5)))
    top = elman.Recurrent(Projected(LSTM(5, 3), 2))
    model = elman.Stack(elman.Dropout(below, 0.5), above, top)
    assert below.initial is not None
    for parameter in below.initial.values():
        nn.init.normal_(parameter)
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "recurrent": lambda: elman.Recurrent(GRU(4, 5)),
    "stack": stack,
    "RNN": lambda: elman.RNN(4, 5, batch_first=True),
    "LSTM": lambda: elman.LSTM(4, 5, num_layers=2, dropout=0.5, proj_size=2, batch_first=True),
    "GRU": lambda: elman.GRU(4, 5, bias=False, batch_first=True),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


def run(stream: Stream, x: Tensor) -> Tensor:
    return torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)


@each_model
def test_a_stream_gives_what_the_sequence_gives(make: Callable[[], nn.Module]) -> None:
    model = make().double()
    output = run(Stream(model, rows=3), X)
    assert model.training
    assert torch.allclose(output, model.eval()(X)[0])


@settings(max_examples=25)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=6, max_size=6))
def test_rows_begin_anew_alone(resets: list[list[bool]]) -> None:
    model = stack().double().eval()
    stream, outputs = Stream(model, rows=3), []
    for x_t, where in zip(X.unbind(1), resets, strict=True):
        stream.reset(torch.tensor(where))
        outputs.append(stream(x_t))
    whole = model(X, reset=torch.tensor(resets).T)[0]
    assert torch.allclose(torch.stack(outputs, 1), whole)


def test_rows_that_go_on_are_not_touched() -> None:
    stream = Stream(stack().double(), rows=3)
    run(stream, X)
    before = stream.state
    stream.reset(torch.tensor([False, True, False]))
    start = stream.model.initial_state(3)
    leaves = zip(*map(tree_leaves, (stream.state, before, start)), strict=True)
    for now, then, first in leaves:
        assert torch.equal(now[[0, 2]], then[[0, 2]])
        assert torch.equal(now[1], first[1])


def test_all_rows_begin_anew() -> None:
    stream = Stream(stack().double(), rows=3)
    first = run(stream, X)
    stream.reset()
    assert torch.equal(run(stream, X), first)


def test_not_even_nan_outlives_a_reset() -> None:
    stream = Stream(elman.Recurrent(LSTM(4, 5)), rows=2)
    stream(torch.full((2, 4), torch.nan))
    stream.reset(torch.tensor([True, False]))
    output = stream(torch.randn(2, 4))
    assert output[0].isfinite().all()
    assert output[1].isnan().all()


def test_a_state_is_saved_handed_over_and_set_again() -> None:
    model = stack().double()
    one, other = Stream(model, rows=3), Stream(model, rows=3)
    run(one, X)
    saved = pickle.loads(pickle.dumps(one.state))
    expected = run(one, X)
    other.state = saved
    assert torch.equal(run(other, X), expected)
    one.state = saved
    assert torch.equal(run(one, X), expected)


def test_the_state_of_a_layer_is_one_of_a_stream() -> None:
    layer = elman.Recurrent(LSTM(4, 5)).double()
    stream = Stream(layer, rows=3)
    stream.state = layer(X[:, :3])[1]
    assert torch.allclose(run(stream, X[:, 3:]), layer(X)[0][:, 3:])
    stream.state = tuple(layer(X[:, :3])[1])  # a pair, as torch has it
    assert stream.state._fields == ("h", "c")


def test_nobody_outside_can_write_into_the_state() -> None:
    layer = elman.Recurrent(GRU(4, 5))
    stream, x, given = Stream(layer, rows=2), torch.randn(2, 4), layer.initial_state(2)
    stream.state = given
    expected = stream(x)
    stream.state = given
    given.h.fill_(7)
    stream.state.h.fill_(7)
    assert torch.equal(stream(x), expected)
    again = stream(x)
    stream.state = layer.initial_state(2)
    stream(x).fill_(7)
    assert torch.equal(stream(x), again)


def test_weights_are_frozen_until_refresh() -> None:
    model = stack().double()
    stream = Stream(model, rows=3)
    first, state = run(stream, X), stream.state
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data.mul_(0.5)
    stream.reset()
    assert torch.equal(run(stream, X), first)
    stream.state = state
    stream.refresh()
    assert all(map(torch.equal, tree_leaves(stream.state), tree_leaves(state)))
    stream.reset()
    assert torch.allclose(run(stream, X), model.eval()(X)[0])


def test_refresh_follows_a_model_that_moved() -> None:
    model = elman.Recurrent(GRU(4, 5))
    stream = Stream(model, rows=3)
    stream(X[:, 0].float())
    before = stream.state.h
    model.double()
    stream.refresh()
    assert torch.equal(stream.state.h, before.double())
    assert stream(X[:, 1]).dtype == torch.float64


def test_no_graph_is_kept() -> None:
    model = elman.Recurrent(GRU(4, 5))
    stream, x = Stream(model, rows=2), torch.randn(2, 4, requires_grad=True)
    output = stream(x)
    assert not any(t.requires_grad for t in (output, *stream.state))
    assert all(p.requires_grad for p in model.parameters())
    nn.Linear(5, 1)(output).sum().backward()  # what comes out may enter a graph of its own


def test_what_it_takes_does_not_grow() -> None:
    stream = Stream(stack(), rows=2)
    sizes = set()
    for _ in range(5):
        stream(torch.randn(2, 4))
        sizes.add(sum(s.untyped_storage().nbytes() for s in tree_leaves(stream.state)))
    assert len(sizes) == 1


def test_a_module_of_one_s_own() -> None:
    class Tokens(nn.Module):
        """Counts the steps beside, to show that any nesting will do."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.rnn = nn.Embedding(9, 4), elman.Recurrent(GRU(4, 5))

        def initial_state(self, batch_size: int) -> Any:
            return {"rnn": self.rnn.initial_state(batch_size), "steps": torch.zeros(batch_size)}

        def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
            output, new = self.rnn.step(self.embedding(token), state["rnn"])
            return output, {"rnn": new, "steps": state["steps"] + 1}

    model = Tokens()
    stream, tokens = Stream(model, rows=3), torch.randint(9, (3, 6))
    output = run(stream, tokens)
    assert torch.allclose(output, model.rnn(model.embedding(tokens))[0], atol=1e-6)
    stream.reset(torch.tensor([True, False, False]))
    assert stream.state["steps"].tolist() == [0, 6, 6]


def test_it_says_what_it_is() -> None:
    shown = repr(Stream(elman.GRU(3, 5), rows=2))
    assert shown == "Stream(elman.GRU(3, 5), rows=2)"


def test_a_copy_goes_its_own_way() -> None:
    stream, x = Stream(elman.Recurrent(GRU(4, 5)), rows=2), torch.randn(2, 4)
    other = copy.deepcopy(stream)
    first = stream(x)
    assert torch.equal(other(x), first)
    stream(x)
    assert not torch.equal(stream.state.h, other.state.h)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: elman.Recurrent(GRU(4, 5), reverse=True),
            elman.ConfigError,
            "a reversed layer cannot step",
        ),
        (
            lambda: elman.Bidirectional(GRU(4, 5), GRU(4, 5)),
            elman.ConfigError,
            "a bidirectional layer cannot step",
        ),
        (
            lambda: elman.LSTM(4, 5, bidirectional=True),
            elman.ConfigError,
            "a bidirectional layer cannot step",
        ),
        (lambda: nn.LSTM(4, 5), elman.DtypeError, "expected a module with step.* got LSTM"),
    ],
)
def test_what_cannot_step_says_so_at_once(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        Stream(make())


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (
            lambda s: s(torch.randn(3, 4)),
            elman.ShapeError,
            r"of shape \(2, 4\).* got \(3, 4\)",
        ),
        (lambda s: s(torch.randn(2, 3)), elman.ShapeError, r"of shape \(2, 4\).* got \(2, 3\)"),
        (
            lambda s: s(torch.randn(2, 4).double()),
            elman.DtypeError,
            "torch.float32 .* torch.float64",
        ),
        (lambda s: s(torch.tensor(1.0)), elman.ShapeError, r"got \(\)"),
        (lambda s: s.reset(torch.ones(2)), elman.DtypeError, "boolean tensor, got torch.float32"),
        (lambda s: s.reset([True, False]), elman.DtypeError, "boolean tensor, got list"),
        (
            lambda s: s.reset(torch.ones(3).bool()),
            elman.ShapeError,
            r"of shape \(2,\).* got \(3,\)",
        ),
        (
            lambda s: setattr(s, "state", (torch.zeros(1, 5),)),
            elman.ShapeError,
            r"State\(h=\(2, 5\)\), got \(\(1, 5\),\)",
        ),
        (lambda s: setattr(s, "state", None), elman.ShapeError, "got NoneType"),
    ],
)
def test_wrong_inputs(use: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        use(Stream(elman.Recurrent(GRU(4, 5)), rows=2))


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("rows", "error"), [(0, elman.ConfigError), (2.0, elman.DtypeError), (True, elman.DtypeError)]
)
def test_wrong_rows(rows: Any, error: Any) -> None:
    with pytest.raises(
        error, match=f"row.* {'int, got' if error is elman.DtypeError else 'rows=0'}"
    ):
        Stream(elman.Recurrent(GRU(4, 5)), rows=rows)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu() -> None:
    model = stack().double().cuda()
    stream = Stream(model, rows=3)
    stream.reset(torch.tensor([True, False, True]))  # from the CPU
    assert torch.allclose(run(stream, X.cuda()), model.eval()(X.cuda())[0])
    state = tree_map(Tensor.cpu, stream.state)
    stream.state = state
    assert all(t.is_cuda for t in tree_leaves(stream.state))
