"""Attention and decoders: what they are, that padding is nothing, that a step is a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from elman import Recurrent, Residual, Stack
from elman._errors import ConfigError, ShapeError
from elman.cells import GRU, LSTM
from elman.nn import BahdanauAttention, Decoder, Embedding, LuongAttention

LENGTHS = torch.tensor([4, 1, 0, 3])
KINDS = [BahdanauAttention, LuongAttention]


@pytest.fixture
def values() -> Tensor:
    return torch.randn(5, 4, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_inert_and_no_place_gives_zeros(kind: Any, values: Tensor) -> None:
    attention, query = kind(3, 6), torch.randn(7, 4, 3, requires_grad=True)
    memory = attention.remember(values, LENGTHS)
    context, weights = attention(query, memory)
    worse = values.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        worse[length:, row] = torch.nan
        assert weights[:, row, length:].eq(0).all()
        alone = attention(
            query[:, row : row + 1], attention.remember(values[:length, row : row + 1])
        )
        if length:
            torch.testing.assert_close(context[:, row], alone[0][:, 0])
            torch.testing.assert_close(weights[:, row].sum(-1), torch.ones(7))
    torch.testing.assert_close(attention(query, attention.remember(worse, LENGTHS))[0], context)
    assert context[:, 2].eq(0).all()
    context.square().sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_their_scores(values: Tensor) -> None:
    query, m = torch.randn(7, 4, 3), values[:, 0]
    additive, product = BahdanauAttention(3, 6, 5), LuongAttention(3, 6)
    q = query[2, 0]
    expected = additive.compared(torch.tanh(additive.queries(q) + additive.keys(m)))[:, 0]
    context, weights = additive(query, additive.remember(values))
    torch.testing.assert_close(weights[2, 0], expected.softmax(0))
    torch.testing.assert_close(context[2, 0], expected.softmax(0) @ m)
    expected = m @ product.keys.weight.T @ q
    torch.testing.assert_close(
        product(query, product.remember(values))[1][2, 0], expected.softmax(0)
    )


def decoder(attention: Any, *, feed: bool = False, **options: Any) -> Decoder:
    torch.manual_seed(0)
    inputs = 3 + 6 * feed
    layer = Stack(
        Recurrent(LSTM(inputs, 5), batch_first=False),
        Residual(Recurrent(GRU(5, 5), batch_first=False)),
    )
    looks = attention(5, 6) if attention else None
    return Decoder(Embedding(9, 3), layer, 2, looks, feed=feed, **options)


CASES = [(None, False), *((kind, feed) for kind in KINDS for feed in (False, True))]


@pytest.mark.parametrize(("attention", "feed"), CASES)
def test_the_whole_is_its_steps(attention: Any, feed: bool, values: Tensor) -> None:
    model, tokens = decoder(attention, feed=feed), torch.randint(9, (6, 4))
    memory = model.attention.remember(values, LENGTHS) if model.attention else None
    state = model.begin(torch.randn(4, 2))
    whole = model(tokens, state, memory, torch.tensor([6, 6, 6, 6]))
    for t, token in enumerate(tokens):
        states, weights, state = model.step(token, state, memory)
        torch.testing.assert_close(whole.states[t], states)
        if weights is not None:
            torch.testing.assert_close(whole.weights[t], weights)
    assert (whole.weights is None) == (attention is None)


@pytest.mark.parametrize(("attention", "feed"), CASES[1:])
def test_several_rows_look_at_one_memory(attention: Any, feed: bool, values: Tensor) -> None:
    model = decoder(attention, feed=feed)
    memory = model.attention.remember(values, LENGTHS)
    vectors, tokens = torch.randn(8, 2), torch.randint(9, (8,))
    both, _, _ = model.step(tokens, model.begin(vectors), memory)
    for which in (0, 1):  # of the two rows for each one of the memory
        one, _, _ = model.step(tokens[which::2], model.begin(vectors[which::2]), memory)
        torch.testing.assert_close(both[which::2], one)


@pytest.mark.parametrize(("attention", "feed"), CASES)
def test_everything_learns(attention: Any, feed: bool, values: Tensor) -> None:
    model = decoder(attention, feed=feed)
    memory = model.attention.remember(values, LENGTHS) if model.attention else None
    states = model(torch.randint(9, (6, 4)), model.begin(torch.randn(4, 2)), memory).states
    states.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_a_step_sees_nothing_that_comes_later(values: Tensor) -> None:
    model, tokens = decoder(LuongAttention), torch.randint(8, (6, 4))
    memory, state = model.attention.remember(values, LENGTHS), model.begin(torch.randn(4, 2))
    later = tokens.clone()
    later[3:] = 8
    one, other = (model(t, state, memory).states for t in (tokens, later))
    torch.testing.assert_close(one[:3], other[:3])
    assert not torch.allclose(one[3:], other[3:])


def test_sizes_that_do_not_fit(values: Tensor) -> None:
    layer = Recurrent(GRU(3, 5), batch_first=False)
    with pytest.raises(ConfigError, match="input_size=9, the embedding's 3 and 6 of a context"):
        Decoder(Embedding(9, 3), layer, 2, LuongAttention(5, 6), feed=True)
    with pytest.raises(ConfigError, match="query_size=5, the layer's output, got 4"):
        Decoder(Embedding(9, 3), layer, 2, LuongAttention(4, 6))
    with pytest.raises(ConfigError, match="no context to feed"):
        Decoder(Embedding(9, 3), layer, 2, feed=True)
    with pytest.raises(ConfigError, match="batch_first=False"):
        Decoder(Embedding(9, 3), Recurrent(GRU(3, 5)), 2)
    with pytest.raises(ShapeError, match=r"expected values \(places, batch, 7\), got \(5, 4, 6\)"):
        LuongAttention(3, 7).remember(values)
