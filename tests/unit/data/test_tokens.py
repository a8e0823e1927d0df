"""Token files: the text's tokens, on the disk, whole or not at all."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from elman import DataError
from elman.data import KINDS, Lanes, Lines, TextSource, Vocabulary, open_tokens, tokenize
from elman.data import _tokens as module

TEXT = ["the cat sat on the mat\n", "\n", "the dog ran\n"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eos", [False, True])
def test_the_file_holds_the_tokens_of_the_text(kind: str, eos: bool, tmp_path: Path) -> None:
    vocabulary = Vocabulary.train(TEXT, kind, eos=eos)
    tokens = tokenize(Lines(TEXT), vocabulary, tmp_path / "new" / "tokens.npy")
    assert isinstance(tokens, np.memmap)
    assert not tokens.flags.writeable
    assert tokens.dtype == np.uint16
    assert tokens.tolist() == vocabulary.encode("".join(TEXT))
    assert np.array_equal(open_tokens(tmp_path / "new" / "tokens.npy"), tokens)


def test_batches_do_not_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = Vocabulary.train(TEXT, eos=True)
    whole = tokenize(Lines(TEXT), words, tmp_path / "whole.npy")
    monkeypatch.setattr(module, "BATCH", 1)
    assert np.array_equal(tokenize(Lines(TEXT), words, tmp_path / "by_line.npy"), whole)


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    text = [" ".join(f"w{i}" for i in range(70_000))]
    words = Vocabulary.train(text)
    tokens = tokenize(Lines(text), words, tmp_path / "tokens.npy")
    assert tokens.dtype == np.uint32
    assert tokens.max() == 70_000
    assert Lanes(tokens, 7).steps == 9_999


def test_a_failure_leaves_the_former_file(tmp_path: Path) -> None:
    words = Vocabulary.train(TEXT)
    path = tmp_path / "tokens.npy"
    before = tokenize(Lines(TEXT), words, path).tolist()
    (tmp_path / "bad.txt").write_bytes(b"the cat\n\xff")
    with pytest.raises(DataError, match="line 2"):
        tokenize(TextSource(tmp_path / "bad.txt"), words, path)
    assert open_tokens(path).tolist() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.txt", "tokens.npy"]


def test_a_text_without_tokens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="blank: only blank lines, which leave no token"):
        tokenize(Lines(["", "  "], "blank"), Vocabulary.train(TEXT), tmp_path / "tokens.npy")
    assert not list(tmp_path.iterdir())


def test_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(TEXT) * 5_000)
    source = TextSource(tmp_path / "text.txt")
    seen: list[int] = []
    words = Vocabulary.train(source)
    tokenize(source, words, tmp_path / "tokens.npy", lambda *at: seen.append(at[0]))
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert seen[-1] == source.size


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00", b"\x80\x04N."])
def test_a_file_that_holds_no_tokens(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokens.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"tokens\.npy: not a token file .*write it again"):
        open_tokens(path)


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.uint16), np.zeros(3), np.array([None])])
def test_an_array_of_something_else(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", array)
    with pytest.raises(DataError, match="not a token file"):
        open_tokens(tmp_path / "tokens.npy")


def test_memory_does_not_grow_with_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "BATCH", 1 << 13)
    words = Vocabulary.train(TEXT, eos=True)

    def peak(lines: int) -> int:
        (tmp_path / "text.txt").write_text("the cat sat on the mat\n" * lines)
        tracemalloc.start()
        tokenize(TextSource(tmp_path / "text.txt"), words, tmp_path / "tokens.npy")
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(8_000) < 1.1 * peak(2_000)
