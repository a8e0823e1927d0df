"""Pre-trained vectors from a file, and an embedding that starts from them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from elman._errors import DataError, ShapeError
from elman.data import read_vectors
from elman.nn import Embedding

GLOVE = "the 1 2\nnew york 3 4\ncat 5 6\nthe 9 9\n"


@pytest.mark.parametrize("header", ["", "4 2\n"])
@pytest.mark.parametrize("suffix", [".vec", ".txt.gz"])
def test_formats(tmp_path: Path, header: str, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    content = (header + GLOVE).encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    vectors = read_vectors(path, ["<unk>", "cat", "new york", "the", "Cat"])
    assert vectors.mask.tolist() == [False, True, True, True, False]
    assert vectors.values.tolist() == [[0, 0], [5, 6], [3, 4], [1, 2], [0, 0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "the 1 2\ncat 5\n",
            r"v.vec, line 2: expected a word and 2 numbers, .* got 1 numbers: .* take it out",
        ),
        ("the\n", "line 1: expected a word and its numbers, .* got 0 numbers"),
        ("the 1 2\ncat 5 x\n", "line 2: could not convert"),
        ("the 1 2\ncat 5 nan\n", "line 2: expected finite numbers"),
        ("dog 1 2\n", "no vector for any of the 2 tokens"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "v.vec"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_vectors(path, ["the", "cat"])
    with pytest.raises(DataError, match="no such file"):
        read_vectors(tmp_path / "w.vec", ["the"])


def test_an_embedding_starts_from_them() -> None:
    found = torch.arange(4000) % 2 == 0
    vectors = torch.randn(4000, 3) * torch.tensor([1.0, 2.0, 0.0]) + torch.tensor([5.0, 0.0, 1.0])
    embedding = Embedding(4000, 3)
    embedding.start_from(vectors, found)
    assert torch.equal(embedding.weight[found], vectors[found])
    drawn = embedding.weight[~found]
    assert not torch.equal(drawn, vectors[~found])
    torch.testing.assert_close(drawn.mean(0), torch.tensor([5.0, 0.0, 1.0]), atol=0.2, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.tensor([1.0, 2.0, 0.0]), atol=0.2, rtol=0)
    assert embedding.weight.requires_grad
    with pytest.raises(ShapeError, match=r"\(4000, 3\) were expected, got \(2, 3\)"):
        embedding.start_from(torch.zeros(2, 3), torch.ones(2, dtype=torch.bool))
