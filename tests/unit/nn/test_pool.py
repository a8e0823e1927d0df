"""Pooling: padding never counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elman._errors import ConfigError
from elman.cells import GRU
from elman.layers import Bidirectional, Recurrent
from elman.nn import POOLS, Pool

LENGTHS = torch.tensor([4, 1, 0, 3])


@pytest.fixture
def states() -> Tensor:
    return torch.randn(5, 4, 6)


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("directions", [1, 2])
def test_padding_is_inert_and_an_empty_row_is_zero(
    kind: str, directions: int, states: Tensor
) -> None:
    pool = Pool(kind, 6, directions)
    states.requires_grad_()
    pooled = pool(states, LENGTHS)
    assert pooled.shape == (4, pool.output_size)
    assert pooled[2].eq(0).all()
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            alone = pool(states[:length, row : row + 1], torch.tensor([length]))
            torch.testing.assert_close(pooled[row], alone[0])
    pooled.square().sum().backward()
    assert states.grad is not None
    assert states.grad.isfinite().all()
    assert all(states.grad[n:, row].eq(0).all() for row, n in enumerate(LENGTHS.tolist()))


def test_what_they_are(states: Tensor) -> None:
    row = states[:4, 0]
    pooled = {kind: Pool(kind, 6)(states, LENGTHS)[0] for kind in ("last", "mean", "max")}
    torch.testing.assert_close(pooled["last"], row[3])
    torch.testing.assert_close(pooled["mean"], row.mean(0))
    torch.testing.assert_close(pooled["max"], row.amax(0))
    both = Pool("mean+max", 6)(states, LENGTHS)[0]
    torch.testing.assert_close(both, torch.cat([pooled["mean"], pooled["max"]]))
    attention = Pool("attention", 6)
    weights = attention.query(torch.tanh(attention.hidden(row))).softmax(0)
    torch.testing.assert_close(attention(states, LENGTHS)[0], (weights * row).sum(0))


def test_the_last_state_of_two_directions_is_that_of_each() -> None:
    layer = Bidirectional(
        Recurrent(GRU(3, 5), batch_first=False),
        Recurrent(GRU(3, 5), batch_first=False, reverse=True),
    )
    states, (ahead, back) = layer(torch.randn(5, 4, 3), lengths=LENGTHS)
    pooled = Pool("last", 10, directions=2)(states, LENGTHS)
    real = LENGTHS > 0
    torch.testing.assert_close(pooled[real], torch.cat([ahead.h, back.h], -1)[real])


def test_an_unknown_pooling() -> None:
    with pytest.raises(ConfigError, match="'maxi': did you mean 'max'"):
        Pool("maxi", 3)
