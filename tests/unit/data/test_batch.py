"""Masks, padding, and lanes against the plain slices they stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman import ConfigError, DataError, DtypeError, ShapeError
from elman.data import Lanes, pad
from elman.scan import mask


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 9))
def test_mask_is_true_at_the_first_steps_of_each_row(lengths: list[int], steps: int) -> None:
    found = mask(torch.tensor(lengths, dtype=torch.int64), steps)
    assert found.dtype == torch.bool
    assert found.tolist() == [[t < length for t in range(steps)] for length in lengths]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
def test_mask_takes_every_integer_type(dtype: torch.dtype) -> None:
    assert mask(torch.tensor([1, 0], dtype=dtype), 2).tolist() == [[True, False], [False, False]]


def test_mask_runs_under_vmap() -> None:
    lengths = torch.tensor([[2, 0], [1, 3]])
    found = torch.func.vmap(lambda row: mask(row, 3))(lengths)
    assert torch.equal(found, torch.stack([mask(row, 3) for row in lengths]))
    assert torch.equal(torch.func.vmap(lambda one: mask(one, 3))(lengths[0]), mask(lengths[0], 3))


@pytest.mark.compile
def test_mask_compiles_as_one_graph() -> None:
    compiled = torch.compile(mask, fullgraph=True, backend="eager")
    assert torch.equal(compiled(torch.tensor([2, 0]), 3), mask(torch.tensor([2, 0]), 3))


def test_mask_is_made_on_the_device_asked_for() -> None:
    assert mask(torch.tensor([1]), 2, device="meta").device.type == "meta"
    assert mask(torch.tensor([1], device="meta"), 2).device.type == "meta"


def test_mask_refuses_what_are_no_lengths() -> None:
    with pytest.raises(DtypeError, match=r"lengths must be integers, got torch\.float32"):
        mask(torch.tensor([1.0]), 2)
    with pytest.raises(DtypeError, match=r"torch\.bool"):
        mask(torch.tensor([True]), 2)
    with pytest.raises(ShapeError, match=r"shape \(batch,\), got \(1, 1\)"):
        mask(torch.tensor([[1]]), 2)


def test_pad_keeps_each_sequence_and_fills_with_zeros() -> None:
    sequences = [torch.randn(3, 2), torch.randn(0, 2), torch.randn(5, 2)]
    padded, lengths = pad(sequences)
    assert padded.shape == (3, 5, 2)
    assert lengths.tolist() == [3, 0, 5]
    for row, sequence in zip(padded, sequences, strict=True):
        assert torch.equal(row[: len(sequence)], sequence)
    assert not padded[~mask(lengths, 5)].any()


def test_pad_refuses_nothing_and_unlike_sequences() -> None:
    with pytest.raises(ShapeError, match="at least one sequence"):
        pad([])
    with pytest.raises(ShapeError, match=r"the same trailing shape, got \[\(2,\), \(3,\)\]"):
        pad([torch.zeros(1, 2), torch.zeros(1, 3)])


@given(st.integers(2, 60), st.integers(1, 8), st.data())
def test_lanes_equal_the_naive_slices(count: int, lanes: int, data: st.DataObject) -> None:
    tokens = torch.randperm(count)
    if count <= lanes:
        with pytest.raises(DataError, match="fewer lanes"):
            Lanes(tokens, lanes)
        return
    cut = Lanes(tokens, lanes)
    stop = data.draw(st.integers(1, cut.steps))
    start = data.draw(st.integers(0, stop - 1))
    inputs, targets = cut.window(start, stop)
    for lane in range(lanes):
        first = lane * cut.steps + start
        assert torch.equal(inputs[lane], tokens[first : first + stop - start])
        assert torch.equal(targets[lane], tokens[first + 1 : first + 1 + stop - start])
    assert cut.steps * lanes + cut.dropped + 1 == count
    assert 0 <= cut.dropped < lanes


@given(st.integers(1, 5), st.integers(1, 7))
def test_every_target_but_the_dropped_tail_is_predicted_once(lanes: int, width: int) -> None:
    tokens = torch.arange(40)
    cut = Lanes(tokens, lanes)
    windows = [
        cut.window(start, min(start + width, cut.steps))[1] for start in range(0, cut.steps, width)
    ]
    assert torch.equal(torch.cat(windows, 1).flatten(), tokens[1 : 40 - cut.dropped])


def test_one_lane_reads_the_whole_stream() -> None:
    cut = Lanes(torch.arange(10), 1)
    inputs, targets = cut.window(0, cut.steps)
    assert inputs.tolist() == [list(range(9))]
    assert targets.tolist() == [list(range(1, 10))]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_a_memory_map_is_read_a_window_at_a_time(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "tokens.npy"
    np.save(path, np.arange(101, dtype=dtype))
    tokens = np.load(path, mmap_mode="r")
    cut = Lanes(tokens, 4)
    assert np.shares_memory(cut._inputs, tokens)
    assert np.shares_memory(cut._targets, tokens)
    inputs, targets = cut.window(10, 20)
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.is_contiguous()
    assert targets.is_contiguous()
    inputs.zero_()  # a copy: the file is read-only
    assert torch.equal(cut.window(10, 20)[0], targets - 1)


def test_lanes_refuse_what_is_no_stream() -> None:
    with pytest.raises(ShapeError, match=r"shape \(tokens,\), got \(2, 2\)"):
        Lanes(torch.zeros(2, 2, dtype=torch.int64), 1)
    with pytest.raises(DtypeError, match="integers, got float32"):
        Lanes(torch.zeros(4), 1)
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        Lanes(torch.arange(4), 0)
    with pytest.raises(DataError, match="32 lanes need at least 33 tokens, got 10"):
        Lanes(torch.arange(10), 32)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 2), (3, 2), (0, 5)])
def test_a_window_lies_within_the_lanes(start: int, stop: int) -> None:
    with pytest.raises(ConfigError, match=f"a window within 4 steps, got {start} to {stop}"):
        Lanes(torch.arange(9), 2).window(start, stop)


def test_lanes_show_their_sizes() -> None:
    assert repr(Lanes(torch.arange(10), 2)) == "Lanes(lanes=2, steps=4, dropped=1)"
