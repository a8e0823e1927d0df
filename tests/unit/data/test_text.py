"""Reading text of all kinds, and saying what is wrong with a file that is none."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman import ConfigError, DataError
from elman.data import Lines, TextSource, _text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "text.txt"


def read(*paths: Path, encoding: str = "utf-8") -> list[str]:
    return list(TextSource(*paths, encoding=encoding))


def test_lines_keep_their_spaces_and_end_in_a_newline(file: Path) -> None:
    file.write_text(" the cat \n\nsat")
    assert read(file) == [" the cat \n", "\n", "sat\n"]


def test_line_ends_of_every_system_and_the_byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read(file) == ["one\n", "two\n", "three\n"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "UTF8", "cp1252"])
def test_an_encoding_can_be_named(file: Path, encoding: str) -> None:
    file.write_bytes("café\nthé\n".encode(encoding))
    assert read(file, encoding=encoding) == ["café\n", "thé\n"]


def test_only_a_newline_ends_a_line(file: Path) -> None:
    text = "a\x0bb\x0cc\x85d\u2028e\n"
    file.write_text(text, encoding="utf-8")
    assert read(file) == [text]


def test_compressed_files(tmp_path: Path) -> None:
    path = tmp_path / "text.txt.gz"
    path.write_bytes(gzip.compress(b"the cat\nsat\n"))
    assert read(path) == ["the cat\n", "sat\n"]


def test_folders_are_read_sorted_and_without_hidden_files(tmp_path: Path) -> None:
    for name, text in [("b.txt", "b"), ("a/z.txt", "a"), (".git/x", "no"), ("a/.DS_Store", "\0")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "c.gz").write_bytes(gzip.compress(b"c"))
    assert read(tmp_path) == ["a\n", "b\n", "c\n"]


def test_a_hidden_folder_may_be_named(tmp_path: Path) -> None:
    (tmp_path / ".texts").mkdir()
    (tmp_path / ".texts" / "a").write_text("a")
    assert read(tmp_path / ".texts") == ["a\n"]


def test_several_paths_and_an_empty_one_among_them(tmp_path: Path) -> None:
    for name, text in [("1", "one"), ("2", ""), ("3", "three")]:
        (tmp_path / name).write_text(text)
    assert read(tmp_path / "3", tmp_path / "2", tmp_path / "1") == ["three\n", "one\n"]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cat\.txt: no such file or folder: check the path"):
        TextSource(tmp_path / "cat.txt")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected files in this folder, got none"):
        TextSource(tmp_path)


def test_an_empty_file(file: Path) -> None:
    file.write_text("")
    with pytest.raises(DataError, match=r"text\.txt: expected a text, got nothing"):
        read(file)


def test_no_path_and_no_such_encoding(file: Path) -> None:
    file.write_text("text")
    with pytest.raises(ConfigError, match="at least one file or folder"):
        TextSource()
    with pytest.raises(ConfigError, match="unknown encoding 'latin9x'"):
        TextSource(file, encoding="latin9x")


def test_a_binary_file(file: Path) -> None:
    file.write_bytes(b"line\n\x7fELF\0\0\n")
    with pytest.raises(DataError, match=r"text\.txt, line 2: holds a NUL byte.* give a text file"):
        read(file)


def test_utf_16_read_as_utf_8_is_told_apart(file: Path) -> None:
    file.write_bytes("cat\n".encode("utf-16-le"))
    with pytest.raises(DataError, match=r'line 1: holds a NUL byte.*encoding="utf-16"'):
        read(file)


@pytest.mark.parametrize("before", [0, 3, 20_000])
def test_the_line_of_an_undecodable_byte(file: Path, before: int) -> None:
    file.write_bytes(b"the cat sat\n" * before + "café\n".encode("latin-1") + b"on\n" * 10_000)
    message = rf"text\.txt, line {before + 1}: byte 0xe9 is not utf-8: name .*encoding=\"latin-1\""
    with pytest.raises(DataError, match=message):
        read(file)
    assert len(read(file, encoding="latin-1")) == before + 10_001


def test_the_line_of_a_file_that_is_cut_within_a_character(file: Path) -> None:
    file.write_bytes("one\ntwo\ncafé".encode()[:-1])
    with pytest.raises(DataError, match="line 3: byte 0xc3 is not utf-8"):
        read(file)


def test_the_line_of_a_bad_utf_16_pair(file: Path) -> None:
    file.write_bytes("one\ntwo\n".encode("utf-16") + b"\x00\xdc\x41\x00")
    with pytest.raises(DataError, match="line 3: byte 0x00 is not utf-16"):
        read(file, encoding="utf-16")


@pytest.mark.parametrize(
    "content", [b"no gzip at all", gzip.compress(b"cut off" * 99, mtime=0)[:-9]]
)
def test_a_damaged_compressed_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"text\.gz: cannot be read: .* fetch the file again"):
        read(path)


@given(st.text(alphabet="ab \n", max_size=60), st.integers(1, 7))
def test_long_lines_come_in_pieces_that_lose_nothing(text: str, longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_text, "LONGEST", longest)
        pieces = list(_text._pieces(io.TextIOWrapper(io.BytesIO(text.encode()))))
    whole = text + "\n" * (bool(text) and not text.endswith("\n"))
    assert "".join(pieces) == whole
    assert all("\n" not in piece[:-1] for piece in pieces)


def test_long_lines_are_cut_between_words(file: Path) -> None:
    file.write_text("recurrent " * 30_000)
    pieces = read(file)
    assert len(pieces) > 3
    assert {word for piece in pieces for word in piece.split()} == {"recurrent"}
    assert sum(piece.endswith("\n") for piece in pieces) == 1


def test_the_progress_ends_at_the_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("cat\n" * 50_000)
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"dog\n" * 50_000))
    source = TextSource(tmp_path)
    seen: list[tuple[int, int]] = []
    assert sum(1 for _ in source.lines(lambda *at: seen.append(at))) == 100_000
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)
    assert {total for _, total in seen} == {source.size}
    assert seen[0][0] < source.size == seen[-1][0]


def test_memory_does_not_grow_with_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "LONGEST", 1 << 13)

    def peak(lines: int) -> int:
        file.write_text("the cat sat on the mat\n" * lines + "and sat " * lines)
        tracemalloc.start()
        for _ in TextSource(file):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(12_000) < 1.1 * peak(3_000)


def test_a_split_is_contiguous_and_complete(file: Path) -> None:
    file.write_text("".join(f"{i}\n" for i in range(100)))
    source = TextSource(file)
    train, valid, test = source.split(0.1, 0.2)
    assert valid is not None
    assert test is not None
    assert [len(list(part)) for part in (train, valid, test)] == [70, 10, 20]
    assert [*train, *valid, *test] == list(source)
    assert list(valid) == list(valid)


def test_a_split_counts_lines_not_pieces(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(_text, "LONGEST", 4)
    file.write_text("a long first line\nb\nc\n")
    train, valid, test = TextSource(file).split()
    assert ["".join(part or ()) for part in (train, valid, test)] == [
        "a long first line\n",
        "b\n",
        "c\n",
    ]


def test_a_part_not_asked_for_is_none() -> None:
    train, valid, test = Lines("abcd").split(valid=0.25, test=0.0)
    assert (len(list(train)), valid is not None, test) == (3, True, None)


def test_the_progress_of_a_part(file: Path) -> None:
    file.write_text("cat\n" * 1000)
    part = TextSource(file).split(0.2, 0.2).valid
    assert part is not None
    seen: list[tuple[int, int]] = []
    list(part.lines(lambda *at: seen.append(at)))
    assert seen[-1] == (part.size, part.size) == (800, 800)
    assert part.name.endswith("text.txt (lines 601 to 800)")


@pytest.mark.parametrize("lines", [1, 2, 99])
def test_the_head_of_a_text_is_its_first_lines(lines: int) -> None:
    whole = Lines(["one", "two", "three"])
    assert list(whole.head(lines)) == list(whole)[:lines]


def test_one_line_cannot_be_split(file: Path) -> None:
    file.write_text("just one line")
    message = r"text\.txt: expected at least 3 lines .*, got 1: give separate validation and test"
    with pytest.raises(DataError, match=message):
        TextSource(file).split()


@pytest.mark.parametrize(("valid", "test"), [(-0.1, 0.1), (0.5, 0.5), (2.0, 0.0)])
def test_shares_must_leave_something_to_train_on(valid: float, test: float) -> None:
    with pytest.raises(ConfigError, match=f"got {valid} and {test}"):
        Lines("abcdef").split(valid, test)


def test_lines_in_memory() -> None:
    source = Lines(iter(["one\n", "two"]), "verses")
    assert list(source) == list(source) == ["one\n", "two\n"]
    assert (source.name, source.size) == ("verses", 7)
