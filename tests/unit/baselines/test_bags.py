"""Bags of words against scikit-learn's, and what they cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from elman._errors import ConfigError
from elman.baselines import BagOfWords, Linear, TfidfLogistic, _bags

V, CLASSES = 12, 3
Ints = NDArray[np.int64]


@pytest.fixture
def texts() -> tuple[Ints, Ints, Ints]:
    draw = np.random.default_rng(0)
    lengths = draw.integers(0, 9, 60)
    return draw.integers(0, V, lengths.sum()), lengths, draw.integers(0, CLASSES, 60)


def counts(tokens: Ints, lengths: Ints) -> NDArray[np.float64]:
    parts = np.split(tokens, np.cumsum(lengths)[:-1])
    return np.stack([np.bincount(part, minlength=V) for part in parts]).astype(float)


def test_bag_of_words_is_naive_bayes(texts: tuple[Ints, Ints, Ints]) -> None:
    tokens, lengths, labels = texts
    ours = BagOfWords(tokens, lengths, labels, V, CLASSES)
    prior = (np.bincount(labels) + 1) / (len(labels) + CLASSES)
    theirs = MultinomialNB(class_prior=prior).fit(counts(tokens, lengths), labels)
    np.testing.assert_allclose(
        ours.probabilities(tokens, lengths), theirs.predict_proba(counts(tokens, lengths))
    )


def test_order_is_nothing_to_it(texts: tuple[Ints, Ints, Ints]) -> None:
    model = BagOfWords(*texts, V, CLASSES)
    text = np.array([3, 1, 4, 1, 5])
    one, other = (model.probabilities(t, np.array([5])) for t in (text, text[::-1]))
    np.testing.assert_allclose(one, other)
    assert not np.allclose(one, model.probabilities(np.array([3, 1, 4, 1, 6]), np.array([5])))


def test_tfidf_counts_as_scikit_learn_does(texts: tuple[Ints, Ints, Ints]) -> None:
    tokens, lengths, labels = texts
    ours = TfidfLogistic(tokens, lengths, labels, V).probabilities(tokens, lengths)
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts(tokens, lengths))
    theirs = LogisticRegression(C=10.0, max_iter=1000).fit(weighted, labels)
    np.testing.assert_allclose(ours, theirs.predict_proba(weighted), atol=1e-4)


def test_linear_models_of_numbers() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 3))
    y = x @ [1.0, -2.0, 0.5] + 3
    numbers = Linear(x, y, classes=False).numbers(x)
    assert np.abs(numbers - y).max() < 0.1
    classes = Linear(x, (y > 3).astype(int), classes=True).probabilities(x)
    assert ((classes[:, 1] > 0.5) == (y > 3)).mean() > 0.95


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bags, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'pip install "elman\[data\]"'):
        Linear(np.zeros((2, 1)), np.zeros(2), classes=True)
