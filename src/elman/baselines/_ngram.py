"""Interpolated n-gram language models: counts in sorted arrays, weights fitted by EM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman._errors import ConfigError, DataError

Tokens = NDArray[Any]
Reals = NDArray[np.float64]

NAMES = ("unigram", "bigram", "trigram")
"""What the orders from 1 to 3 are called."""

HELD_OUT = 20  # one training token in twenty fits the weights
ITERATIONS = 30
BUCKETS = 64
PER_OCTAVE = 2  # buckets for each doubling of a context's mean count


class NGram:
    r"""Jelinek-Mercer interpolation of all orders from 1 to ``order``.

    .. math:: P(w \mid h) = \lambda_{b(h)} \frac{c(h, w)}{c(h)} + (1 - \lambda_{b(h)}) P(w \mid h')

    where h' is h without its oldest word and the recursion ends at 1 / vocab_size. Contexts share a
    weight when their mean count per distinct successor falls in the same bucket b(h). The weights
    are fitted by expectation-maximization on the last twentieth of the training tokens with the
    counts of the rest; then all are counted. No validation or test token is ever used.

    Args:
        tokens: training tokens in [0, vocab_size), shape (count,).
        vocab_size: number of distinct tokens.
        order: longest n-gram counted.

    Raises:
        ConfigError: ``vocab_size ** order`` does not fit in 63 bits.
        DataError: there are too few tokens, or one lies outside the vocabulary.

    Example:
        >>> import numpy as np
        >>> from elman.baselines import NGram
        >>> model = NGram(np.array([0, 1, 2] * 20), vocab_size=3, order=2)
        >>> model.distribution([0]).argmax()
        np.int64(1)

    References:
        Jelinek & Mercer 1980, "Interpolated estimation of Markov source parameters from sparse
        data". Chen & Goodman 1999, "An empirical study of smoothing techniques for language
        modeling", for the buckets.
    """

    def __init__(self, tokens: Tokens, vocab_size: int, order: int = 3) -> None:
        tokens = _checked(tokens, vocab_size, order)
        self.vocab_size, self.order = vocab_size, order
        counted = len(tokens) - max(order, len(tokens) // HELD_OUT)
        self._weights = _fit(tokens[:counted], tokens[counted:], vocab_size, order)
        self._counts = [_count(tokens, n, vocab_size) for n in range(1, order + 1)]

    def probabilities(self, tokens: Tokens) -> Reals:
        """P(token | its past) of ``tokens[1:]`` by every order, shape (order, count - 1)."""
        rows = _interpolate(tokens, self._counts, self._weights, self.vocab_size)
        return np.stack([p[1:] for p in rows])

    def distribution(self, context: list[int]) -> Reals:
        """P(w | context) by the highest order, for every w: shape (vocab_size,)."""
        rows = np.tile(np.array([*context, 0]), (self.vocab_size, 1))
        rows[:, -1] = np.arange(self.vocab_size)
        levels = self._counts[: len(context) + 1]
        *_, p = _interpolate(rows.ravel(), levels, self._weights, self.vocab_size)
        return p[len(context) :: len(context) + 1]

    def nats(self, tokens: Tokens) -> Reals:
        """Mean -log P in nats of ``tokens[1:]`` by every order, shape (order,)."""
        _checked(tokens, self.vocab_size, 1)
        nats: Reals = -np.log(self.probabilities(tokens)).mean(axis=1)
        return nats


def ngram_baselines(
    train: Tokens, splits: Mapping[str, Tokens], vocab_size: int, limit: int = 20_000_000
) -> dict[str, dict[str, dict[str, float]]]:
    """Nats and perplexity of unigram, bigram and trigram on each split of the same text.

    Args:
        train: training tokens, shape (count,); the first ``limit`` are counted.
        splits: name of a split to its tokens.
        vocab_size: number of distinct tokens.
        limit: bounds the memory; at 20 million tokens about 2 GB.

    Returns:
        ``{"unigram": {"valid": {"nats": 6.5, "perplexity": 684.0}, ...}, "bigram": ..., ...}``

    Raises:
        DataError: a split is too short, or has a token outside the vocabulary.

    Example:
        >>> import numpy as np
        >>> from elman.baselines import ngram_baselines
        >>> train = np.array([0, 1, 2] * 20)
        >>> round(ngram_baselines(train, {"valid": train}, 3)["unigram"]["valid"]["perplexity"], 2)
        3.0
    """
    model = NGram(train[:limit], vocab_size, len(NAMES))
    nats = {split: model.nats(tokens) for split, tokens in splits.items()}
    return {
        name: {
            split: {"nats": float(value[n]), "perplexity": float(np.exp(value[n]))}
            for split, value in nats.items()
        }
        for n, name in enumerate(NAMES)
    }


class _NGramCounts(NamedTuple):
    """The n-grams of one order as sorted packed integers, and their contexts likewise."""

    vocab_size: int
    grams: Tokens
    gram_counts: Tokens
    contexts: Tokens
    totals: Tokens
    buckets: Tokens

    def look_up(self, grams: Tokens) -> tuple[Reals, Tokens]:
        """c(h, w) / c(h), 0 for an unseen context, and the bucket of the context."""
        count = _find(self.grams, self.gram_counts, grams)
        total = _find(self.contexts, self.totals, grams // self.vocab_size)
        bucket = _find(self.contexts, self.buckets, grams // self.vocab_size)
        return count / np.maximum(total, 1), bucket


def _checked(tokens: Tokens, vocab_size: int, order: int) -> Tokens:
    if vocab_size**order >= 2**63:
        raise ConfigError(
            f"vocab_size ** order must stay below 2 ** 63, got {vocab_size} ** {order}"
        )
    if len(tokens) < 2 * order:
        raise DataError(f"an n-gram of order {order} needs {2 * order} tokens, got {len(tokens)}")
    if tokens.min() < 0 or tokens.max() >= vocab_size:
        raise DataError(
            f"tokens must lie in [0, {vocab_size}), got {tokens.min()} to {tokens.max()}: "
            "encode the text with the vocabulary of the training text"
        )
    return tokens


def _grams(tokens: Tokens, n: int, vocab_size: int) -> Tokens:
    """One integer for each n-gram, oldest word first: ``// vocab_size`` leaves the context."""
    packed = tokens[: len(tokens) - n + 1].astype(np.int64)
    for i in range(1, n):
        packed = packed * vocab_size + tokens[i : len(tokens) - n + 1 + i]
    return packed


def _count(tokens: Tokens, n: int, vocab_size: int) -> _NGramCounts:
    grams, counts = np.unique(_grams(tokens, n, vocab_size), return_counts=True)
    contexts, starts = np.unique(grams // vocab_size, return_index=True)
    totals = np.add.reduceat(counts, starts)
    successors = np.diff(np.append(starts, len(grams)))
    buckets = 1 + np.round(PER_OCTAVE * np.log2(totals / successors)).astype(np.int64)
    return _NGramCounts(vocab_size, grams, counts, contexts, totals, buckets.clip(max=BUCKETS - 1))


def _find(keys: Tokens, values: Tokens, queries: Tokens) -> Tokens:
    index = np.searchsorted(keys, queries).clip(max=len(keys) - 1)
    return np.where(keys[index] == queries, values[index], 0)


def _interpolate(
    tokens: Tokens, counts: list[_NGramCounts], weights: list[Reals], vocab_size: int
) -> Iterator[Reals]:
    """P of each token by orders 1, 2, ...; where the past is too short, that of the lower order."""
    p = np.full(len(tokens), 1 / vocab_size)
    for n, (level, weight) in enumerate(zip(counts, weights, strict=False), 1):
        frequency, bucket = level.look_up(_grams(tokens, n, vocab_size))
        p = p.copy()
        p[n - 1 :] = weight[bucket] * frequency + (1 - weight[bucket]) * p[n - 1 :]
        yield p


def _fit(counted: Tokens, held_out: Tokens, vocab_size: int, order: int) -> list[Reals]:
    """The weights of each order by EM, given those of the orders below it."""
    p = np.full(len(held_out), 1 / vocab_size)
    weights = []
    for n in range(1, order + 1):
        level = _count(counted, n, vocab_size)
        frequency, bucket = level.look_up(_grams(held_out, n, vocab_size))
        weight = _expectation_maximization(frequency, p[n - 1 :], bucket)
        p[n - 1 :] = weight[bucket] * frequency + (1 - weight[bucket]) * p[n - 1 :]
        weights.append(weight)
    return weights


def _expectation_maximization(high: Reals, low: Reals, bucket: Tokens) -> Reals:
    # One pseudo-token holds each bucket to the Witten-Bell weight of its mean count a, a / (1 + a):
    # a bucket without held-out tokens still has a weight, and none reaches 1.
    mean = 2.0 ** ((np.arange(BUCKETS) - 1) / PER_OCTAVE)
    prior = mean / (1 + mean)
    prior[0] = 0.0  # an unseen context: all to the lower order
    size = 1 + np.bincount(bucket, minlength=BUCKETS)
    weight = prior
    for _ in range(ITERATIONS):
        share = weight[bucket] * high
        share /= share + (1 - weight[bucket]) * low
        weight = (prior + np.bincount(bucket, share, BUCKETS)) / size
    return weight
