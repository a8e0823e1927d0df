"""Vocabularies: what becomes a token, what is unknown, and the way back to text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from elman import CheckpointError, ConfigError, DataError
from elman.data import EOS, KINDS, UNK, TextSource, Vocabulary

TREEBANK = [
    " aer banknote <unk> N \n",
    " pierre <unk> N years old will join the board \n",
    " mr. <unk> is chairman of <unk> n.v. the dutch publishing group \n",
]
STORY = ["The cat sat on the mat.\n", "It didn't move (the cat).\n", "\n", "It slept...\n"]


def test_the_treebank_is_read_exactly() -> None:
    words = Vocabulary.train(TREEBANK, eos=True)
    expected = [word for line in TREEBANK for word in [*line.split(), EOS]]
    indices = words.encode("".join(TREEBANK))
    assert [words.token(index) for index in indices] == expected
    assert len(words) == len(set(expected))
    assert words.index(UNK) == words.unk == 0
    assert words.index(EOS) == words.eos == 1
    assert indices.count(0) == 4


@given(st.lists(st.text(alphabet="abc ", max_size=20), min_size=1, max_size=8))
def test_words_are_ordered_by_frequency(lines: list[str]) -> None:
    counts = Counter(word for line in lines for word in line.split())
    if len(counts) < 2:
        with pytest.raises(DataError, match="at least 2 different tokens"):
            Vocabulary.train(lines)
        return
    words = Vocabulary.train(lines)
    assert words.tokens == [UNK, *sorted(counts, key=lambda word: (-counts[word], word))]


def test_rare_words_become_unknown() -> None:
    lines = ["a a a b b c"]
    assert Vocabulary.train(lines, min_count=2).tokens == [UNK, "a", "b"]
    assert Vocabulary.train(lines, max_size=4, eos=True).tokens == [UNK, EOS, "a", "b"]
    assert Vocabulary.train(lines, min_count=2).encode("a b c d") == [1, 2, 0, 0]


def test_punctuation_is_split_off_and_joined_again() -> None:
    words = Vocabulary.train(STORY, eos=True, punctuation=True)
    tokens = [words.token(index) for index in words.encode("It didn't move (the cat)...\n")]
    assert tokens == ["It", "didn't", "move", "(", "the", "cat", ")", "...", EOS]
    assert words.decode(words.encode("".join(STORY))) == "".join(STORY)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("well-made, 7.5/10!!", ["well-made", ",", "7.5", "/", "10", "!!"]),
        ("cat’s <unk>.", ["cat’s", "<unk>", "."]),
        ("'quoted' end.", ["'", "quoted", "'", "end", "."]),
        ("naïve 猫 $1,000", ["naïve", "猫", "$", "1,000"]),
    ],
)
def test_what_a_word_is(text: str, tokens: list[str]) -> None:
    words = Vocabulary.train([text], punctuation=True)
    assert [words.token(index) for index in words.encode(text)] == tokens


def test_lower_case() -> None:
    words = Vocabulary.train(["The the cat"], lowercase=True)
    assert words.tokens == [UNK, "the", "cat"]
    assert words.encode("THE Cat") == [1, 2]
    assert words.unknown("THE Dog") == ["Dog"]


def test_characters_count_spaces_and_newlines() -> None:
    text = "a cat \nsat\n"
    chars = Vocabulary.train(text.splitlines(keepends=True), "char")
    assert set(chars.tokens) == {UNK, *text}
    assert len(chars.encode(text)) == len(text)
    assert chars.decode(chars.encode(text)) == text


def test_characters_with_an_end_of_line_token() -> None:
    text = "a cat \nsat\n"
    chars = Vocabulary.train(text.splitlines(keepends=True), "char", eos=True)
    assert "\n" not in chars
    assert chars.encode(text).count(chars.eos or -1) == 2
    assert chars.decode(chars.encode(text)) == text


def test_special_tokens_in_a_text_of_characters_are_characters() -> None:
    chars = Vocabulary.train(["<unk>"], "char")
    assert chars.tokens == [UNK, *sorted("<unk>")]
    assert len(chars.encode("<unk>")) == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eos", [False, True])
def test_encoding_at_once_and_by_lines_agree(kind: str, eos: bool) -> None:
    vocabulary = Vocabulary.train(STORY, kind, eos=eos)
    assert vocabulary.kind == kind
    by_lines = [index for row in vocabulary.encode_lines(STORY) for index in row]
    assert vocabulary.encode("".join(STORY)) == by_lines
    assert vocabulary.encode("") == []
    assert (vocabulary.eos is not None) == eos == (EOS in vocabulary)
    assert (vocabulary.eos in vocabulary.encode("The cat")) is False


@pytest.fixture(scope="module")
def pieces() -> dict[str, Vocabulary]:
    return {kind: Vocabulary.train(STORY * 5, kind, max_size=300) for kind in ("bpe", "unigram")}


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@given(text=st.text())
def test_pieces_give_any_text_back(kind: str, text: str, pieces: dict[str, Vocabulary]) -> None:
    vocabulary = pieces[kind]
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.unk is None
    assert vocabulary.unknown(text) == []


def test_pieces_are_longer_than_bytes(pieces: dict[str, Vocabulary]) -> None:
    assert 256 < len(pieces["bpe"]) <= 300
    assert len(pieces["bpe"].encode("The cat")) < len("The cat")


def test_unknown_words_are_named_once_in_order() -> None:
    words = Vocabulary.train(["the cat <unk> sat"], eos=True)
    assert words.unknown("a cat and\na dog <unk> sat\n") == ["a", "and", "dog"]
    assert words.unknown("the cat") == []
    assert Vocabulary.train(["ab"], "char").unknown("abcb\n") == ["c", "\n"]


def test_tokens_and_indices_are_inverse() -> None:
    words = Vocabulary.train(STORY)
    assert [words.index(token) for token in words.tokens] == list(range(len(words)))
    assert "cat" in words
    assert "dog" not in words
    with pytest.raises(DataError, match=r"'dog' is not one of the 13 tokens"):
        words.index("dog")
    for index in (-1, len(words)):
        with pytest.raises(DataError, match=f"expected a token index from 0 to 12, got {index}"):
            words.token(index)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_vocabulary_is_the_same(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    options = {"lowercase": True, "punctuation": True} if kind == "word" else {}
    vocabulary = Vocabulary.train(STORY, kind, eos=True, **options)
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    assert repr(loaded) == repr(vocabulary)
    assert loaded.tokens == vocabulary.tokens
    indices = loaded.encode("".join(STORY))
    assert indices == vocabulary.encode("".join(STORY))
    assert loaded.decode(indices) == vocabulary.decode(indices)
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]
    assert Tokenizer.from_file(str(path)).get_vocab_size() == len(vocabulary)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"model": {"type": "BPE"}}'])
def test_a_file_that_is_no_vocabulary(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a vocabulary .* expected the"):
        Vocabulary.load(path)


def test_a_missing_and_a_foreign_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(CheckpointError, match="No such file"):
        Vocabulary.load(path)
    Vocabulary.train(STORY).save(path)
    foreign = json.loads(path.read_text())
    foreign["model"] = {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
    path.write_text(json.dumps(foreign))
    with pytest.raises(CheckpointError, match="WordLevel without <unk>"):
        Vocabulary.load(path)


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("word", ["cat cat\n", "cat\n"]),
        ("word", [" \n"]),
        ("word", ["<unk> <eos> cat"]),
        ("char", ["aaa\n"]),
        ("bpe", ["aaa\n"]),
        ("unigram", []),
    ],
)
def test_a_vocabulary_of_one(kind: str, lines: list[str]) -> None:
    message = r"needs at least 2 different tokens, and the text has [01]: .* give more text"
    with pytest.raises(DataError, match=message):
        Vocabulary.train(lines, kind, eos=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "wrod"}, "unknown kind of vocabulary 'wrod': did you mean 'word'"),
        ({"kind": "char", "punctuation": True}, "punctuation=True needs kind='word'"),
        ({"min_count": 0}, "min_count must be at least 1"),
        ({"kind": "unigram", "min_count": 2}, "got 2: use max_size"),
        ({"max_size": 3, "eos": True}, "max_size of kind='word' must be at least 4, got 3"),
        ({"kind": "bpe", "max_size": 100}, "max_size of kind='bpe' must be at least 256, got 100"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Vocabulary.train(STORY, **options)  # type: ignore[arg-type]


def test_an_error_in_the_text_comes_through_the_trainer(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"the cat\n\xff\n")
    for kind in KINDS:
        with pytest.raises(DataError, match=r"text\.txt, line 2: byte 0xff"):
            Vocabulary.train(TextSource(path), kind)
