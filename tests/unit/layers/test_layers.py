"""Recurrent, Stack, Bidirectional, Residual and Dropout: one contract, and clear errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

import elman
from elman.cells import GRU, LSTM, Elman
from elman.layers import Layer

LAYERS: dict[str, Callable[[], Layer]] = {
    "recurrent": lambda: elman.Recurrent(LSTM(4, 4)),
    "learned start": lambda: elman.Recurrent(GRU(4, 4), learn_initial_state=True),
    "reversed": lambda: elman.Recurrent(GRU(4, 4), reverse=True),
    "stack": lambda: elman.Stack(elman.Recurrent(LSTM(4, 5)), elman.Recurrent(GRU(5, 4))),
    "bidirectional": lambda: elman.Bidirectional(LSTM(4, 2), GRU(4, 3)),
    "residual": lambda: elman.Residual(elman.Recurrent(GRU(4, 4))),
    "dropout": lambda: elman.Dropout(elman.Recurrent(GRU(4, 4)), 0.5).eval(),
    "all": lambda: elman.Stack(
        elman.Residual(elman.Bidirectional(LSTM(4, 2), GRU(4, 2))),
        elman.Dropout(elman.Residual(elman.Recurrent(Elman(4, 4))), 0.0),
    ),
}
CAN_STEP = [name for name in LAYERS if name not in {"reversed", "bidirectional", "all"}]


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> Layer:
    return LAYERS[request.param]()


def test_none_stands_for_the_initial_state(layer: Layer) -> None:
    x = torch.randn(3, 5, 4)
    assert torch.equal(layer(x)[0], layer(x, layer.initial_state(3))[0])


def test_sizes(layer: Layer) -> None:
    output, state = layer(torch.randn(3, 5, 4))
    assert output.shape == (3, 5, layer.output_size)
    assert all(leaf.shape[0] == 3 for leaf in tree_leaves(state))


def test_padding_is_inert(layer: Layer) -> None:
    x, lengths = torch.randn(3, 5, 4), torch.tensor([5, 2, 0])
    x[1, 2:], x[2] = torch.nan, torch.inf
    output, state = layer(x, lengths=lengths)
    alone, alone_state = layer(x[1:2, :2])
    assert torch.allclose(output[1:2, :2], alone, atol=1e-6)
    assert (output[1, 2:] == 0).all()
    assert (output[2] == 0).all()
    for a, b in zip(tree_leaves(state), tree_leaves(alone_state), strict=True):
        assert torch.allclose(a[1:2], b, atol=1e-6)


def test_padding_reaches_no_gradient(layer: Layer) -> None:
    x = torch.randn(2, 5, 4)
    x[1, 2:] = torch.nan
    layer(x, lengths=torch.tensor([5, 2]))[0].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", CAN_STEP)
def test_steps_give_what_the_sequence_gives(name: str) -> None:
    layer, x, state = LAYERS[name](), torch.randn(3, 5, 4), None
    output, final = layer(x)
    for t in range(5):
        output_t, state = layer.step(x[:, t], state)
        assert torch.allclose(output_t, output[:, t], atol=1e-6)
    for a, b in zip(tree_leaves(state), tree_leaves(final), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("name", ["reversed", "bidirectional", "all"])
def test_backward_layers_cannot_step(name: str) -> None:
    with pytest.raises(elman.ConfigError, match="cannot step"):
        LAYERS[name]().step(torch.randn(3, 4))


def test_time_first_is_the_same_transposed() -> None:
    cell, x = LSTM(4, 3), torch.randn(2, 5, 4)
    lengths, reset = torch.tensor([5, 3]), torch.rand(2, 5) < 0.3
    ours = elman.Recurrent(cell)(x, lengths=lengths, reset=reset, observe=True)
    theirs = elman.Recurrent(cell, batch_first=False)(
        x.transpose(0, 1), lengths=lengths, reset=reset.T, observe=True
    )
    assert torch.equal(ours[0], theirs[0].transpose(0, 1))
    assert torch.equal(ours[2]["c"], theirs[2]["c"].transpose(0, 1))


def test_bidirectional_is_two_directions() -> None:
    layer, x = elman.Bidirectional(GRU(4, 2), GRU(4, 3)), torch.randn(2, 5, 4)
    ahead, back = layer.directions
    flipped = elman.Recurrent(back.cell)(x.flip(1))[0].flip(1)
    assert torch.allclose(layer(x)[0], torch.cat([ahead(x)[0], flipped], -1), atol=1e-6)


def test_observe_through_a_stack_keys_by_layer() -> None:
    *_, observed = LAYERS["all"]()(torch.randn(2, 5, 4), observe=True)
    (ahead, back), above = observed
    assert "forget" in ahead
    assert "update" in back
    assert list(above) == ["h"]


def test_dropout_drops_the_output_and_not_the_state() -> None:
    layer, x = elman.Dropout(elman.Recurrent(GRU(4, 100)), 0.5), torch.randn(2, 50, 4)
    plain, state = layer.layer(x)
    dropped, same = layer(x)
    assert torch.equal(state.h, same.h)
    kept = dropped != 0
    assert 0.45 < kept.float().mean() < 0.55
    assert torch.allclose(dropped[kept], 2 * plain[kept])


def test_learned_initial_state_gets_its_gradient() -> None:
    layer = elman.Recurrent(LSTM(4, 3), learn_initial_state=True)
    layer(torch.randn(2, 5, 4))[0].sum().backward()
    assert sorted(layer.state_dict())[-2:] == ["initial.c", "initial.h"]
    assert all((p.grad != 0).all() for p in layer.initial.values())


def test_shared_cells_share_their_parameters() -> None:
    shared = elman.Recurrent(GRU(4, 4))
    stack = elman.Stack(shared, shared)
    assert len(list(stack.parameters())) == 4


X = torch.randn(3, 5, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m(X[0]), RuntimeError, r"\(batch, time, input_size\) with input_size=4, got"),
        (lambda m: m(X[..., :3]), RuntimeError, r"got \(3, 5, 3\)"),
        (lambda m: m([1.0]), TypeError, "expected x as a torch.Tensor, got list"),
        (lambda m: m(X, lengths=torch.ones(2).long()), RuntimeError, r"lengths of shape \(3,\)"),
        (lambda m: m(X, lengths=torch.ones(3)), TypeError, "integer tensor, got torch.float32"),
        (lambda m: m(X, lengths=[5, 5, 5]), TypeError, "integer tensor, got list"),
        (lambda m: m(X, lengths=torch.tensor([5, 6, 1])), RuntimeError, "0 to 5.*got 6 in row 1"),
        (lambda m: m(X, lengths=torch.tensor([5, 0, -1])), RuntimeError, "0 to 5.*got -1 in row 2"),
        (lambda m: m(X, (torch.zeros(3, 4).double(),) * 2), TypeError, "h of LSTM in .*32.*64"),
        (lambda m: m.step(X[0], (torch.zeros(5, 4).half(),) * 2), TypeError, "in .*32.*float16"),
        (
            lambda m: m(X, reset=torch.ones(5, 3).bool()),
            RuntimeError,
            r"\(3, 5\), \(batch, time\) as",
        ),
        (lambda m: m(X, reset=torch.ones(3, 5)), TypeError, "boolean tensor, got torch.float32"),
        (lambda m: m(X, torch.zeros(3, 4)), TypeError, r"tuple \(h, c\) of tensors, got Tensor"),
        (lambda m: m(X, (torch.zeros(3, 4),) * 3), TypeError, r"tuple \(h, c\)"),
        (lambda m: m(X, (torch.zeros(2, 4),) * 2), RuntimeError, r"state h of LSTM.*\(3, 4\)"),
        (lambda m: m.step(X), RuntimeError, r"expected x of shape \(batch, 4\)"),
    ],
)
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_errors_say_what_came(call: Any, error: type[Exception], message: str, engine: str) -> None:
    with pytest.raises(error, match=message):
        call(elman.Recurrent(LSTM(4, 4), engine=engine))


def test_lengths_that_cannot_be_looked_at_are_not() -> None:
    layer, x = elman.Recurrent(LSTM(4, 4)), torch.randn(2, 3, 5, 4)
    lengths = torch.tensor([[5, 2, 0], [1, 1, 3]])
    mapped = torch.vmap(lambda x, n: layer(x, lengths=n)[0])(x, lengths)
    torch.testing.assert_close(mapped[1], layer(x[1], lengths=lengths[1])[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (elman.Stack, "at least one layer"),
        (
            lambda: elman.Stack(elman.Recurrent(GRU(4, 3)), elman.Recurrent(GRU(4, 3))),
            "input_size=3 above one of that output_size, got input_size=4",
        ),
        (
            lambda: elman.Stack(
                elman.Recurrent(GRU(4, 4)), elman.Recurrent(GRU(4, 4), batch_first=False)
            ),
            "batch_first both True and False",
        ),
        (lambda: elman.Bidirectional(GRU(4, 3), elman.GRU(4, 3)), "Recurrent layer, got GRU"),
        (lambda: elman.Bidirectional(GRU(4, 3), GRU(5, 3)), "one input_size, got 4 and 5"),
        (
            lambda: elman.Bidirectional(elman.Recurrent(GRU(4, 3)), elman.Recurrent(GRU(4, 3))),
            "second with reverse=True",
        ),
        (lambda: elman.Residual(elman.Recurrent(GRU(4, 3))), "equal to input_size=4"),
        (lambda: elman.Dropout(elman.Recurrent(GRU(4, 3)), 1.5), "0 <= p < 1, got 1.5"),
        (lambda: elman.Recurrent(GRU(4, 3), engine="refrence"), "did you mean 'reference'"),
        (lambda: elman.Recurrent(GRU(4, 3), init="identiy"), "did you mean 'identity'"),
        (lambda: LAYERS["stack"]()(X, (None,)), "tuple of 2 states"),
    ],
)
def test_misfits_are_told(make: Any, message: str) -> None:
    with pytest.raises(elman.ConfigError, match=message):
        make()


def test_a_layer_of_something_else_is_told() -> None:
    with pytest.raises(TypeError, match=r"expected an elman\.cells\.Cell, got LSTM"):
        elman.Recurrent(torch.nn.LSTM(3, 4))  # type: ignore[arg-type]
