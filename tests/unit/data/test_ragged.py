"""Ragged sequences, buckets of like lengths, tables of rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from elman._errors import CheckpointError, ConfigError, DtypeError, ShapeError
from elman.data import Ragged, Rows, buckets
from elman.scan import mask

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=30)


@given(LENGTHS, st.randoms())
def test_padding_gives_each_row_back(lengths: list[int], random: object) -> None:
    sequences = [torch.randn(n, 2) for n in lengths]
    ragged = Ragged.of([s.tolist() if len(s) else [] for s in sequences], torch.float32)
    rows = torch.randperm(len(lengths))
    padded, found = ragged.padded(rows)
    assert found.tolist() == [lengths[i] for i in rows]
    assert padded.shape[1] == max(1, *lengths)
    assert padded.dim() == (3 if any(lengths) else 2)
    real = mask(found, padded.shape[1])
    assert padded[~real].eq(0).all()
    for place, row in enumerate(rows.tolist()):
        torch.testing.assert_close(padded[place, : lengths[row]], ragged[row])


def test_lengths_must_fit_the_values() -> None:
    with pytest.raises(ShapeError, match="add up to the 3 steps of all rows, got a sum of 4"):
        Ragged(torch.arange(3), torch.tensor([2, 2]))
    with pytest.raises(ShapeError, match="at least 0"):
        Ragged(torch.arange(3), torch.tensor([4, -1]))
    with pytest.raises(ShapeError, match="the same shape"):
        Ragged.of([[[1.0, 2.0]], [[1.0]]])


@given(LENGTHS, st.integers(1, 9), st.booleans())
def test_each_row_is_in_one_batch(lengths: list[int], rows: int, shuffled: bool) -> None:
    generator = torch.Generator().manual_seed(1) if shuffled else None
    batches = buckets(torch.tensor(lengths), rows, generator, pool=2)
    assert sorted(torch.cat(batches).tolist()) == list(range(len(lengths)))
    assert sum(len(batch) < rows for batch in batches) <= 1
    assert len(batches) == -(-len(lengths) // rows)


def padding(lengths: Tensor, batches: list[Tensor]) -> int:
    return sum(int(lengths[b].max()) * len(b) for b in batches) - int(lengths.sum())


def test_buckets_pad_little_and_differ_by_generator() -> None:
    lengths = torch.randint(1, 200, (1000,))

    def batches(seed: int) -> list[Tensor]:
        return buckets(lengths, 10, torch.Generator().manual_seed(seed))

    chance = list(torch.split(torch.randperm(1000), 10))
    assert padding(lengths, batches(0)) < 0.1 * padding(lengths, chance)
    assert all(torch.equal(a, b) for a, b in zip(batches(3), batches(3), strict=True))
    assert not torch.equal(torch.cat(batches(3)), torch.cat(batches(4)))
    # Short and long batches come mixed, or training would drift with the length.
    means = torch.stack([lengths[b].double().mean() for b in batches(0)])
    assert (
        abs(float(torch.corrcoef(torch.stack([means, torch.arange(100.0).double()]))[0, 1])) < 0.3
    )


def test_rows_of_a_batch_are_at_least_one() -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        buckets(torch.tensor([1]), 0)


def test_rows_are_kept_as_safetensors(tmp_path: Path) -> None:
    rows = Rows({"text": Ragged.of([[1, 2], [], [3]], torch.int32), "y": torch.tensor([1.0, 2, 3])})
    rows.save(tmp_path / "rows.safetensors")
    back = Rows.load(tmp_path / "rows.safetensors")
    assert len(back) == 3
    batch = back.take(torch.tensor([2, 0]))
    assert batch["text"].tolist() == [[3, 0], [1, 2]]
    assert batch["text"].dtype == torch.long
    assert batch["text_lengths"].tolist() == [1, 2]
    assert batch["y"].tolist() == [3, 1]
    assert back.lengths("y").tolist() == [1, 1, 1]
    (tmp_path / "rows.safetensors").write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Rows.load(tmp_path / "rows.safetensors")


def test_rows_that_the_system_does_not_open_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch maps the file itself, and raises a plain RuntimeError where it cannot open it."""
    file = tmp_path / "rows.safetensors"
    Rows({"x": torch.zeros(2)}).save(file)

    def unopened(path: Path) -> None:
        raise RuntimeError(f"unable to open file <{path}> in read-only mode: I/O error (5)")

    monkeypatch.setattr("safetensors.torch.load_file", unopened)
    with pytest.raises(CheckpointError, match=r"rows\.safetensors: cannot be read: .*I/O error"):
        Rows.load(file)


def test_a_column_of_the_other_kind_is_refused() -> None:
    rows = Rows({"x": Ragged.of([[1, 2], [3]]), "y": torch.tensor([4, 5])})
    assert [row.tolist() for row in rows.sequences("x").unbind()] == [[1, 2], [3]]
    assert rows.tensor("y").tolist() == [4, 5]
    with pytest.raises(DtypeError, match="'y' must have sequences"):
        rows.sequences("y")
    with pytest.raises(DtypeError, match="'x' must have one value a row"):
        rows.tensor("x")


def test_columns_have_one_number_of_rows() -> None:
    with pytest.raises(ShapeError, match=r"\{'a': 1, 'b': 2\}"):
        Rows({"a": torch.zeros(1), "b": torch.zeros(2)})
