from __future__ import annotations

import torch

from elman.engine.runtime import _pool


def _idle() -> int:
    return sum(size * len(blocks) for size, blocks in _pool._free.items())


def test_a_block_is_used_again() -> None:
    first = _pool.take(123_457, torch.float32)
    address = first.data_ptr()
    del first
    assert _pool.take(123_457, torch.float32).data_ptr() == address


def test_sequences_of_many_lengths_do_not_fill_the_memory() -> None:
    for steps in range(1, 200):
        tensors = [_pool.take(steps * 100_000, torch.float32) for _ in range(2)]
        del tensors
    assert _idle() <= 2 * 200 * 100_000 * 4


def test_what_was_used_last_is_kept() -> None:
    for steps in range(1, 50):
        _pool.take(steps * 100_000, torch.float32)
    big = _pool.take(49 * 100_000, torch.float32)
    address = big.data_ptr()
    del big
    assert _pool.take(49 * 100_000, torch.float32).data_ptr() == address


def test_no_number_is_a_tensor_too() -> None:
    assert _pool.take(0, torch.float64).shape == (0,)
