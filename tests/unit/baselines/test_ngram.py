"""The n-gram models against a slow dictionary implementation, and as probability distributions."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import exp, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman._errors import ConfigError, DataError
from elman.baselines import NAMES, NGram, ngram_baselines
from elman.baselines._ngram import BUCKETS, HELD_OUT, ITERATIONS, PER_OCTAVE

VOCAB = 6


class Slow:
    """The same model in dictionaries, a token at a time."""

    def __init__(self, tokens: list[int], order: int) -> None:
        self.order = order
        cut = len(tokens) - max(order, len(tokens) // HELD_OUT)
        self.count(tokens[:cut])
        self.weights: list[list[float]] = []
        for n in range(1, order + 1):
            self.weights.append(self.fit(tokens[cut:], n))
        self.count(tokens)

    def count(self, tokens: list[int]) -> None:
        self.successors: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for n in range(1, self.order + 1):
            for i in range(len(tokens) - n + 1):
                *context, word = tokens[i : i + n]
                self.successors[tuple(context)][word] += 1

    def bucket(self, context: tuple[int, ...]) -> int:
        seen = self.successors.get(context)
        if not seen:
            return 0
        return min(BUCKETS - 1, 1 + round(PER_OCTAVE * log2(seen.total() / len(seen))))

    def frequency(self, context: tuple[int, ...], word: int) -> float:
        seen = self.successors.get(context, Counter())
        return seen[word] / max(seen.total(), 1)

    def probability(self, context: tuple[int, ...], word: int) -> float:
        n = len(context) + 1
        lower = self.probability(context[1:], word) if context else 1 / VOCAB
        weight = self.weights[n - 1][self.bucket(context)]
        return weight * self.frequency(context, word) + (1 - weight) * lower

    def fit(self, held_out: list[int], n: int) -> list[float]:
        mean = [2.0 ** ((b - 1) / PER_OCTAVE) for b in range(BUCKETS)]
        prior = [0.0] + [a / (1 + a) for a in mean[1:]]
        weights = prior
        for _ in range(ITERATIONS):
            shares = [[p] for p in prior]
            for i in range(n - 1, len(held_out)):
                context, word = tuple(held_out[i - n + 1 : i]), held_out[i]
                lower = self.probability(context[1:], word) if n > 1 else 1 / VOCAB
                b = self.bucket(context)
                high = weights[b] * self.frequency(context, word)
                shares[b].append(high / (high + (1 - weights[b]) * lower))
            weights = [sum(s) / len(s) for s in shares]
        return weights


def markov(count: int, seed: int = 0) -> np.ndarray:
    """Tokens whose successor depends on the last two, so that every order has something to find."""
    rng = np.random.default_rng(seed)
    tokens = [0, 1]
    for _ in range(count - 2):
        likely = (tokens[-1] + 2 * tokens[-2]) % VOCAB
        tokens.append(likely if rng.random() < 0.7 else int(rng.integers(VOCAB)))
    return np.array(tokens)


def true_nats(tokens: np.ndarray) -> float:
    likely = (tokens[1:-1] + 2 * tokens[:-2]) % VOCAB == tokens[2:]
    return float(-np.log(0.3 / VOCAB + 0.7 * likely).mean())


@pytest.mark.parametrize("order", [1, 2, 3])
def test_equals_the_dictionaries(order: int) -> None:
    tokens = markov(400)
    fast, slow = NGram(tokens, VOCAB, order), Slow(tokens.tolist(), order)
    probe = markov(60, seed=1)
    got = fast.probabilities(probe)
    assert got.shape == (order, len(probe) - 1)
    for n in range(1, order + 1):
        for i in range(1, len(probe)):
            context = tuple(probe[max(0, i - n + 1) : i].tolist())
            assert got[n - 1, i - 1] == pytest.approx(slow.probability(context, int(probe[i])))


@given(st.lists(st.integers(0, VOCAB - 1), min_size=6, max_size=80), st.integers(0, 3))
@settings(max_examples=50)
def test_sums_to_one_after_any_context(tokens: list[int], length: int) -> None:
    model = NGram(np.array(tokens), VOCAB)
    p = model.distribution([5, 0, 3][:length])
    assert p.shape == (VOCAB,)
    assert p.min() > 0
    assert p.sum() == pytest.approx(1)


def test_distribution_is_the_probability_of_each_word() -> None:
    model = NGram(markov(500), VOCAB)
    for context in ([2], [2, 4], [1, 2, 4]):
        each = [model.probabilities(np.array([*context, w]))[-1, -1] for w in range(VOCAB)]
        assert model.distribution(context).tolist() == pytest.approx(each)
    assert model.distribution([1, 2, 4]) == pytest.approx(model.distribution([2, 4]))


def test_longer_contexts_help_where_there_is_structure() -> None:
    probe = markov(5_000, seed=2)
    nats = NGram(markov(20_000), VOCAB).nats(probe)
    assert nats[0] > nats[1] > nats[2]
    assert nats[2] == pytest.approx(true_nats(probe), rel=0.01)


def test_nothing_to_learn_costs_nothing() -> None:
    uniform = np.random.default_rng(3).integers(VOCAB, size=40_000)
    perplexity = np.exp(NGram(uniform[:30_000], VOCAB).nats(uniform[30_000:]))
    assert perplexity == pytest.approx([VOCAB] * 3, rel=0.01)


def test_baselines_have_every_name_and_split() -> None:
    train, valid = markov(2_000).astype(np.uint16), markov(500, seed=4).astype(np.uint16)
    result = ngram_baselines(train, {"valid": valid, "test": valid[:300]}, VOCAB)
    assert tuple(result) == NAMES
    for splits in result.values():
        assert set(splits) == {"valid", "test"}
        for metrics in splits.values():
            assert metrics["perplexity"] == pytest.approx(exp(metrics["nats"]))


def test_limit_bounds_what_is_counted() -> None:
    train, splits = markov(2_000), {"valid": markov(500, seed=4)}
    limited = ngram_baselines(train, splits, VOCAB, limit=300)
    assert limited == ngram_baselines(train[:300], splits, VOCAB)


def test_a_held_out_word_never_seen_is_not_infinite() -> None:
    train = np.array([0, 1] * 50)
    assert np.isfinite(NGram(train, VOCAB).nats(np.array([0, 5, 5, 1, 3, 2]))).all()


def test_errors_say_what_came() -> None:
    with pytest.raises(DataError, match="needs 6 tokens, got 3"):
        NGram(np.array([0, 1, 2]), VOCAB)
    with pytest.raises(DataError, match=r"\[0, 6\), got 0 to 6"):
        NGram(np.arange(7), VOCAB)
    with pytest.raises(ConfigError, match=r"4000000 \*\* 3"):
        NGram(np.arange(7), 4_000_000)
    with pytest.raises(DataError, match=r"\[0, 6\)"):
        NGram(markov(50), VOCAB).nats(np.array([1, 9]))
