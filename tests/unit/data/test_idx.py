"""IDX files: images as series with their labels, or an error that names the file."""

from __future__ import annotations

import gzip
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elman import ConfigError, DataError
from elman.data import BadRows, is_idx, read_table
from elman.tasks import Classify, ClassifyData, ClassifyNet

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
PIXELS = np.arange(60, dtype=np.uint8).reshape(10, 2, 3) * 4
DIGITS = np.arange(10, dtype=np.uint8) % 2 + 3
MNIST = Path(os.environ.get("ELMAN_MNIST", "no folder in ELMAN_MNIST"))

Change = Callable[[bytes], bytes]


def content(array: Any) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name, array in ((IMAGES, PIXELS), (LABELS, DIGITS)):
        (tmp_path / name).write_bytes(gzip.compress(content(array)))
    return tmp_path / IMAGES


def read(path: Path, *columns: str) -> list[Any]:
    rows = read_table(path, columns or ("series", "label"), BadRows())
    return [record.values for record in rows]


def test_an_image_is_a_series_of_its_pixels(images: Path) -> None:
    rows = read(images)
    assert [row["label"] for row in rows] == ["3", "4"] * 5
    assert rows[1]["series"].dtype == np.float32
    assert rows[1]["series"].shape == (6, 1)
    assert np.allclose(255 * rows[1]["series"][:, 0], [24, 28, 32, 36, 40, 44])


def test_files_may_be_unpacked_and_named_with_a_dot(tmp_path: Path) -> None:
    (tmp_path / "a-images.idx3-ubyte").write_bytes(content(PIXELS))
    (tmp_path / "a-labels.idx1-ubyte.gz").write_bytes(gzip.compress(content(DIGITS)))
    assert len(read(tmp_path / "a-images.idx3-ubyte")) == 10
    assert not is_idx(tmp_path / "a-images.idx3-ubyte.csv")


def test_labels_are_not_needed_where_no_column_asks_for_them(images: Path) -> None:
    (images.parent / LABELS).unlink()
    assert [list(row) for row in read(images, "series")] == [["series"]] * 10
    with pytest.raises(DataError, match=rf"{IMAGES}: expected its labels in {LABELS} beside it"):
        read(images)


def packed(change: Change) -> Change:
    return lambda whole: gzip.compress(change(gzip.decompress(whole)))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (IMAGES, lambda _: b"", "ended before|empty file"),
        (IMAGES, packed(lambda _: b""), "expected the magic number 00000803.*empty file"),
        (IMAGES, packed(lambda b: b[:9]), "expected a header of 16 bytes, got 9"),
        (IMAGES, packed(lambda b: b"\0\0\x0d\3" + b[4:]), "magic number 00000803.*00000d03"),
        (IMAGES, packed(lambda b: b"\0\0\x08\2" + b[4:]), "magic number 00000803.*00000802"),
        (LABELS, packed(lambda b: b"\1\0\x08\1" + b[4:]), "magic number 00000801.*01000801"),
        (IMAGES, packed(lambda b: b[:8] + bytes(4) + b[12:]), "expected sizes of 1 to .* 10 x 0"),
        (IMAGES, packed(lambda b: b[:8] + b"\x7f" * 8 + b[16:]), "expected sizes of 1 to"),
        (LABELS, packed(lambda b: b[:4] + b"\x7f" * 4 + b[8:]), "expected sizes of 1 to"),
        (IMAGES, packed(lambda b: b[:-1]), "expected image 10 of 10, but the file ends before"),
        (LABELS, packed(lambda b: b[:-1]), "expected 10 labels, but the file ends before"),
        (IMAGES, packed(lambda b: b + b"\0"), "expected the file to end"),
        (LABELS, packed(lambda b: b + b"\0"), "expected the file to end"),
        (LABELS, packed(lambda _: content(DIGITS[:9])), "as many labels as .* has images, 10, got"),
        (IMAGES, lambda b: b[:-9], "cannot be read: .*end-of-stream"),
        (LABELS, lambda b: b[:-9], "cannot be read: .*end-of-stream"),
        (IMAGES, lambda b: b[:-6] + b"\1" + b[-5:], "cannot be read: CRC check failed"),
        (IMAGES, lambda b: b"P5" + b[2:], "cannot be read: Not a gzipped file"),
    ],
)
def test_a_damaged_file_is_named(images: Path, name: str, change: Change, message: str) -> None:
    file = images.parent / name
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=f"{re.escape(str(file))}: .*({message})"):
        read(images)


def test_labels_and_folders_are_refused(images: Path) -> None:
    with pytest.raises(DataError, match=f"{LABELS}: expected images, got labels"):
        read(images.parent / LABELS)
    with pytest.raises(DataError, match="got a folder of IDX files: name the training images"):
        read(images.parent)
    with pytest.raises(DataError, match=f"{IMAGES}: has no column 'text'"):
        read(images, "text", "label")


def data(images: Path, **settings: Any) -> ClassifyData:
    return ClassifyData(train=[images], series="series", unique=False, **settings)


def prepared(images: Path, **settings: Any) -> Classify:
    return Classify.prepare(data(images, standardize=False, **settings), ClassifyNet(hidden=2))


def test_a_permutation_is_the_same_for_every_row_and_comes_again(
    images: Path, tmp_path: Path
) -> None:
    shares = {"valid_share": 0, "test_share": 0, "seed": 3}
    plain, mixed = prepared(images, **shares), prepared(images, permute=5544, **shares)
    torch.manual_seed(5544)
    order = torch.randperm(6)
    assert order.tolist() != list(range(6))
    for row in range(10):
        assert torch.equal(mixed.parts["train"]["x"][row], plain.parts["train"]["x"][row][order])
    mixed.save(tmp_path)
    again = Classify.restore(tmp_path, mixed.data, mixed.model)
    values = {"series": list(range(6))}
    assert again.input_rows([values])["x"][0][:, 0].tolist() == order.tolist()
    with pytest.raises(DataError, match=r"6 steps were expected, as in the first row.* got 5"):
        again.input_rows([{"series": list(range(5))}])


def test_only_a_series_is_permuted() -> None:
    with pytest.raises(ConfigError, match="only the steps of a series can be permuted"):
        ClassifyData.parse({"permute": 1})


def test_test_images_are_those_of_their_file(images: Path) -> None:
    for name, array in ((IMAGES, PIXELS[:4] + 1), (LABELS, DIGITS[:4])):
        file = images.with_name(name.replace("train", "t10k"))
        file.write_bytes(gzip.compress(content(array)))
    test = images.with_name(IMAGES.replace("train", "t10k"))
    task = prepared(images, test=[test], valid_share=0.2)
    assert task.facts()["rows"] == {"train": 8, "valid": 2, "test": 4}
    assert float(255 * task.parts["test"]["x"][0][1, 0]) == pytest.approx(5)
    assert task.accepts(test)


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not here: set ELMAN_MNIST to its folder")
def test_the_images_of_mnist() -> None:
    for split, count in (("train", 60_000), ("t10k", 10_000)):
        path = MNIST / IMAGES.replace("train", split)
        rows = read_table(path, ["series", "label"], BadRows())
        first = next(rows).values
        assert first["series"].shape == (784, 1)
        assert (first["series"].max(), first["label"]) == (1, {"train": "5", "t10k": "7"}[split])
        assert 1 + sum(1 for _ in rows) == count
