"""The layer without recurrence: what its windows see, and what it carries."""

from __future__ import annotations

import pytest
import torch

import elman
from elman._errors import ConfigError, ShapeError
from elman.layers import FeedForward, Layer

LENGTHS = torch.tensor([5, 2, 0])


def sensitive(network: Layer, step: int, lengths: torch.Tensor | None = None) -> list[int]:
    """The steps of the first row that its output at a step depends on."""
    x = torch.randn(5, 3, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x, lengths=lengths)[0][step, 0].sum(), x)
    assert not gradient[:, 1:].any()
    return gradient[:, 0].any(-1).nonzero().flatten().tolist()


def layer(window: str, steps: int = 3) -> FeedForward:
    torch.manual_seed(0)
    network = FeedForward(2, steps, 16, layers=2, window=window)  # type: ignore[arg-type]
    return network.double()


@pytest.mark.parametrize(
    ("window", "steps", "expected"),
    [
        ("past", 3, [1, 2, 3]),
        ("past", 1, [3]),
        ("around", 3, [2, 3, 4]),
        ("around", 2, [2, 3]),
        ("row", 3, [0, 1, 2]),
        ("row", 9, [0, 1, 2, 3, 4]),
    ],
)
def test_what_a_window_sees(window: str, steps: int, expected: list[int]) -> None:
    assert sensitive(layer(window, steps), 3) == expected


@pytest.mark.parametrize("window", ["past", "around", "row"])
def test_padding_is_inert(window: str) -> None:
    network, x = layer(window), torch.randn(5, 3, 2, dtype=torch.float64)
    output, _ = network(x, lengths=LENGTHS)
    padded = x.clone()
    for row, length in enumerate(LENGTHS):
        padded[length:, row] = torch.nan
        assert not output[length:, row].any()
    torch.testing.assert_close(network(padded, lengths=LENGTHS)[0], output)
    alone, _ = network(x[:2, 1:2])
    torch.testing.assert_close(output[:2, 1:2], alone)


def test_a_row_in_pieces_is_the_whole() -> None:
    network, x = layer("past"), torch.randn(5, 3, 2, dtype=torch.float64)
    whole, last = network(x)
    steps, state = [], None
    for x_t in x:
        output, state = network.step(x_t, state)
        steps.append(output)
    torch.testing.assert_close(torch.stack(steps), whole)
    torch.testing.assert_close(state, last)


def test_the_state_is_that_after_the_last_real_step() -> None:
    network, x = layer("past"), torch.randn(5, 3, 2, dtype=torch.float64)
    before = torch.randn(3, 2, 2, dtype=torch.float64)
    _, state = network(x, before, lengths=LENGTHS)
    torch.testing.assert_close(state[0], x[3:, 0])
    torch.testing.assert_close(state[1], x[:2, 1])
    torch.testing.assert_close(state[2], before[2])


def test_it_streams() -> None:
    network, x = layer("past").float(), torch.randn(5, 3, 2)
    stream = elman.Stream(network, rows=3)
    torch.testing.assert_close(torch.stack([stream(x_t) for x_t in x]), network(x)[0].detach())


@pytest.mark.parametrize("window", ["around", "row"])
def test_a_window_that_waits_cannot_step(window: str) -> None:
    network = layer(window)
    with pytest.raises(ConfigError, match=f"window='{window}' cannot step"):
        network.step(torch.randn(3, 2, dtype=torch.float64))
    with pytest.raises(ConfigError, match="cannot step"):
        elman.Stream(network, rows=3)


def test_what_it_does_not_take() -> None:
    x = torch.randn(5, 3, 2, dtype=torch.float64)
    with pytest.raises(ConfigError, match="no reset, no observe"):
        layer("past")(x, reset=torch.zeros(5, 3, dtype=torch.bool))
    with pytest.raises(ShapeError, match="input_size=2"):
        layer("past")(x[..., :1])
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        FeedForward(2, 0, 3)
    with pytest.raises(ConfigError, match="'pats': did you mean 'past'"):
        layer("pats")


def test_its_weights() -> None:
    count = sum(p.numel() for p in FeedForward(2, steps=3, hidden=4, layers=2).parameters())
    assert count == (3 * 2 * 4 + 4) + (4 * 4 + 4)
