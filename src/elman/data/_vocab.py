"""Vocabularies: text to token indices and back, by words, characters or learned pieces."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex, cast

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from elman._errors import CheckpointError, ConfigError, DataError, nearest
from elman._files import read_plain, replacing, why

UNK = "<unk>"
"""The token for words or characters that are not in the vocabulary."""

EOS = "<eos>"
"""The token for the end of a line."""

KINDS = ("word", "char", "bpe", "unigram")
"""The kinds of `Vocabulary`."""

_SUBWORDS = 8_000  # entries of bpe and unigram unless told
_TOO_FEW = (
    "a vocabulary needs at least 2 different tokens, and the text has {}: {}; "
    "give more text, or another kind of vocabulary"
)
_BYTES = len(pre_tokenizers.ByteLevel.alphabet())

# A word may hold apostrophes and hyphens, a number its point; a run of a sign ("...") is one token.
_WORD = r"<unk>|<eos>|\w+(?:['’\-]\w+|[.,]\d+)*|([^\w\s])\1*"
_OPENING = re.compile(r"([(\[{]) ")
_CLOSING = re.compile(r" ([.,!?;:%)\]}…])")


class Vocabulary:
    r"""The tokens a model knows, numbered from 0, and the way text is cut into them.

    =========  =====================================================================================
    kind       a token is
    =========  =====================================================================================
    word       text between white space; with ``punctuation=True`` punctuation is split off
    char       a character (Unicode code point); spaces at line ends count, and so does the newline
    bpe        a run of bytes, merged from the most frequent pairs (Sennrich et al., 2016)
    unigram    a run of bytes of the likeliest segmentation (Kudo, 2018)
    =========  =====================================================================================

    Index 0 of words and characters is ``<unk>``, for everything that is not in the training text,
    or not often enough; a word ``<unk>`` in the text is that same token, as in the Penn Treebank.
    ``bpe`` and ``unigram`` fall back to bytes, so ``unk`` is None, and decoding restores the text.

    With ``eos=True`` the end of a line is the token ``<eos>``, and decodes to a newline. Without it
    the newline is a character as any other, except between words, where it is white space.

    The file that `save` writes is a ``tokenizer.json`` that Hugging Face tokenizers reads, too.

    References:
        Sennrich, Haddow & Birch (2016), https://arxiv.org/abs/1508.07909;
        Kudo (2018), https://arxiv.org/abs/1804.10959
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.kind = _kind(tokenizer)
        self.unk: int | None = tokenizer.token_to_id(UNK) if self.kind in ("word", "char") else None
        self.eos: int | None = tokenizer.token_to_id(EOS)

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        kind: str = "word",
        *,
        min_count: int = 1,
        max_size: int | None = None,
        eos: bool = False,
        lowercase: bool = False,
        punctuation: bool = False,
    ) -> Vocabulary:
        r"""Learn a vocabulary from a text, which is read once, as a stream.

        Args:
            lines: the text, for example a `TextSource`.
            kind: "word", "char", "bpe" or "unigram".
            min_count: tokens seen fewer times become ``<unk>`` (for "bpe": are not merged).
            max_size: maximum number of entries, with ``<unk>`` and ``<eos>``: the most frequent are
                kept; unlimited by default, and 8,000 for "bpe" and "unigram".
            eos: add a token ``<eos>`` for the end of each line.
            lowercase: read all text as lower case.
            punctuation: words only: make punctuation marks tokens of their own.

        Raises:
            ConfigError: an unknown kind, or an option that this kind does not have.
            DataError: the text has fewer than two different tokens; or what reading it raises.

        Example:
            >>> text = ["The cat sat.\n", "The cat!\n"]
            >>> words = Vocabulary.train(text, eos=True, punctuation=True)
            >>> words.tokens
            ['<unk>', '<eos>', 'The', 'cat', '!', '.', 'sat']
            >>> words.encode("The dog sat.\n")
            [2, 0, 6, 5, 1]
            >>> words.unknown("The dog sat.")
            ['dog']
        """
        units = kind in ("word", "char")
        specials = [UNK] * units + [EOS] * eos
        _check(kind, min_count, max_size, punctuation, specials)
        tokenizer = _blank(kind, lowercase, punctuation)
        texts = (line.removesuffix("\n") for line in lines) if eos else iter(lines)
        learn = _learn_units if units else _learn_pieces
        learn(tokenizer, texts, min_count, max_size, specials)
        return cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """The text's token indices; a newline becomes ``<eos>`` where the vocabulary has it."""
        return list(chain.from_iterable(self.encode_lines(re.findall(r".*\n|.+", text))))

    def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
        """Each line's token indices, worked out by several threads."""
        bare = [line.removesuffix("\n") for line in lines] if self.eos is not None else list(lines)
        rows = self._tokenizer.encode_batch_fast(bare, add_special_tokens=False)
        indices = [row.ids for row in rows]
        if self.eos is not None:
            for line, row in zip(lines, indices, strict=True):
                row += [self.eos] * line.endswith("\n")
        return indices

    def decode(self, indices: Iterable[SupportsIndex]) -> str:
        """The text of token indices: words with spaces between them, a newline for ``<eos>``."""
        runs = groupby(map(index, indices), key=lambda token: token == self.eos)
        return "".join("\n" * len([*run]) if ends else self._joined([*run]) for ends, run in runs)

    def _joined(self, indices: list[int]) -> str:
        text = self._tokenizer.decode(indices, skip_special_tokens=False)
        if self.kind == "word" and isinstance(self._tokenizer.pre_tokenizer, pre_tokenizers.Split):
            text = _OPENING.sub(r"\1", _CLOSING.sub(r"\1", text))
        return text

    def unknown(self, text: str) -> list[str]:
        """The words (or characters) of a text that are not in the vocabulary, each once, in order.

        Example:
            >>> Vocabulary.train(["the cat sat"]).unknown("the dog and the cat")
            ['dog', 'and']
        """
        words: dict[str, None] = {}
        for line in text.split("\n") if self.eos is not None else [text]:
            row = self._tokenizer.encode(line, add_special_tokens=False)
            spans = zip(row.ids, row.offsets, strict=True)
            words |= {line[start:stop]: None for token, (start, stop) in spans if token == self.unk}
        return [token for token in words if token != UNK]

    def index(self, token: str) -> int:
        """A token's index.

        Raises:
            DataError: it is not in the vocabulary; ``token in vocabulary`` asks without raising.
        """
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise DataError(f"{token!r} is not one of the {len(self):,} tokens of the vocabulary")
        return number

    def token(self, index: int) -> str:
        """The token of an index, as the vocabulary writes it (``decode([index])`` is its text).

        Raises:
            DataError: the index is out of range.
        """
        if not 0 <= index < len(self):
            raise DataError(f"expected a token index from 0 to {len(self) - 1}, got {index}")
        return cast("str", self._tokenizer.id_to_token(index))

    @property
    def tokens(self) -> list[str]:
        """All tokens, in the order of their indices."""
        return [self.token(index) for index in range(len(self))]

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def __contains__(self, token: object) -> bool:
        return isinstance(token, str) and self._tokenizer.token_to_id(token) is not None

    def __repr__(self) -> str:
        return f"Vocabulary(kind={self.kind!r}, size={len(self)}, eos={self.eos is not None})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; the file takes its name only once it is complete.

        Raises:
            DataError: the file cannot be written.
        """
        with replacing(path) as file:
            file.write(self.to_json().encode())

    def to_json(self) -> str:
        """What `save` writes."""
        return self._tokenizer.to_str(pretty=True)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """From what `to_json` gave; a ValueError if it is something else."""
        try:
            return cls(Tokenizer.from_str(text))
        except Exception as error:  # tokenizers raises nothing more special
            raise ValueError(f"not a vocabulary ({error})") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read what `save` wrote. Such a file holds only data: it cannot run code.

        Raises:
            CheckpointError: no such file, or it does not hold a vocabulary.
        """
        try:
            return cls.from_json(read_plain(Path(path)).decode())
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path}: {why(error)}: expected the JSON that Vocabulary.save writes, "
                "so save it again, or train again"
            ) from error


def _kind(tokenizer: Tokenizer) -> str:
    """The kind of a tokenizer, by its parts."""
    if isinstance(tokenizer.model, models.BPE):
        return "bpe"
    if isinstance(tokenizer.model, models.Unigram):
        return "unigram"
    if not isinstance(tokenizer.model, models.WordLevel) or tokenizer.token_to_id(UNK) is None:
        raise ValueError(
            f"a model {type(tokenizer.model).__name__} without {UNK} is of no kind of ours"
        )
    return "char" if isinstance(tokenizer.decoder, decoders.Fuse) else "word"


def _blank(kind: str, lowercase: bool, punctuation: bool) -> Tokenizer:
    """An untrained tokenizer of a kind."""
    if kind in ("bpe", "unigram"):
        tokenizer = Tokenizer(models.BPE() if kind == "bpe" else models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer = Tokenizer(models.WordLevel({}, unk_token=UNK))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if kind == "char":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(?m)."), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
    if punctuation:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(
            Regex(_WORD), behavior="removed", invert=True
        )
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def _learn_units(
    tokenizer: Tokenizer,
    texts: Iterable[str],
    min_count: int,
    size: int | None,
    specials: list[str],
) -> None:
    """Words or characters: the most frequent of the text, after the special tokens."""
    trainer = trainers.WordLevelTrainer(
        vocab_size=size or 1 << 40, min_frequency=min_count, special_tokens=[], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    counted = tokenizer.get_vocab()
    units = [token for token in sorted(counted, key=counted.__getitem__) if token not in specials]
    if len(units) < 2:
        raise DataError(_TOO_FEW.format(len(units), units))
    tokens = [*specials, *units][:size]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer.model = models.WordLevel(vocabulary, unk_token=UNK)


def _learn_pieces(
    tokenizer: Tokenizer,
    texts: Iterable[str],
    min_count: int,
    size: int | None,
    specials: list[str],
) -> None:
    """Pieces of words: all bytes, and what bpe or unigram finds worth a token."""
    characters: set[str] = set()
    options: dict[str, Any] = {
        "vocab_size": size or _SUBWORDS,
        "special_tokens": specials,
        "initial_alphabet": pre_tokenizers.ByteLevel.alphabet(),
        "show_progress": False,
    }
    trainer: trainers.Trainer = (
        trainers.BpeTrainer(min_frequency=min_count, **options)
        if isinstance(tokenizer.model, models.BPE)
        else trainers.UnigramTrainer(**options)
    )
    tokenizer.train_from_iterator(_noted(texts, characters), trainer)
    if len(characters) < 2:
        raise DataError(_TOO_FEW.format(len(characters), sorted(characters)))


def _noted(texts: Iterable[str], characters: set[str]) -> Iterator[str]:
    for text in texts:
        if len(characters) < 2:
            characters.update(text)
        yield text


def _check(
    kind: str, min_count: int, max_size: int | None, punctuation: bool, specials: list[str]
) -> None:
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of vocabulary {kind!r}: {nearest(kind, KINDS)}")
    if punctuation and kind != "word":
        raise ConfigError(f"punctuation=True needs kind='word', got kind={kind!r}: leave it out")
    if min_count < 1 or (min_count > 1 and kind == "unigram"):
        raise ConfigError(
            f"min_count must be at least 1, and 1 for kind='unigram', got {min_count}: use "
            "max_size with unigram, which weighs pieces by likelihood"
        )
    least = len(specials) + (_BYTES if kind in ("bpe", "unigram") else 2)
    if max_size is not None and max_size < least:
        raise ConfigError(f"max_size of kind={kind!r} must be at least {least}, got {max_size}")
