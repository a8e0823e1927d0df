"""Bags of words: models of a text that ignore the order of its words."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman._errors import ConfigError

Tokens = NDArray[np.int64]
Reals = NDArray[np.float64]


class BagOfWords:
    r"""Multinomial naive Bayes: the words of a text are independent given its class.

    .. math:: P(y \mid w_{1..T}) \propto P(y) \prod_t P(w_t \mid y), \qquad
        P(w \mid y) = \frac{c(w, y) + 1}{\sum_{w'} c(w', y) + V}

    Texts with the same words in another order have the same probabilities.

    Args:
        tokens: all training texts end to end (tokens,).
        lengths: tokens of each text (rows,).
        labels: class of each text (rows,).
        vocab_size: V.
        classes: the number of classes.

    Example:
        >>> tokens, lengths = np.array([0, 1, 1, 2]), np.array([2, 2])
        >>> model = BagOfWords(tokens, lengths, np.array([0, 1]), vocab_size=3, classes=2)
        >>> model.probabilities(np.array([2, 1]), np.array([2])).round(2)
        array([[0.33, 0.67]])

    References:
        McCallum & Nigam 1998, "A comparison of event models for naive Bayes text classification".
    """

    def __init__(
        self, tokens: Tokens, lengths: Tokens, labels: Tokens, vocab_size: int, classes: int
    ) -> None:
        of_token = np.repeat(labels, lengths)
        counts = np.bincount(of_token * vocab_size + tokens, minlength=classes * vocab_size)
        smoothed = counts.reshape(classes, vocab_size) + 1.0
        rows = np.bincount(labels, minlength=classes) + 1.0
        self._words: Reals = np.log(smoothed / smoothed.sum(1, keepdims=True))
        self._prior: Reals = np.log(rows / rows.sum())

    def probabilities(self, tokens: Tokens, lengths: Tokens) -> Reals:
        """P(class | text) of texts end to end: (rows, classes)."""
        row = np.repeat(np.arange(len(lengths)), lengths)
        sums = [np.bincount(row, words[tokens], len(lengths)) for words in self._words]
        logs: Reals = np.stack(sums, 1).astype(np.float64) + self._prior
        shares = np.exp(logs - logs.max(1, keepdims=True))
        probabilities: Reals = shares / shares.sum(1, keepdims=True)
        return probabilities


def has_scikit_learn() -> bool:
    """Whether scikit-learn is installed, which some baselines need."""
    return find_spec("sklearn") is not None


class TfidfLogistic:
    r"""Logistic regression on the words of a text, weighted by TF-IDF (scikit-learn).

    .. math:: x_w = (1 + \ln c_w) \Big(1 + \ln \frac{1 + N}{1 + n_w}\Big), \quad x / \|x\|

    The order of words is lost, as in `BagOfWords`.

    Args:
        tokens, lengths, labels, vocab_size: as in `BagOfWords`.

    Raises:
        ConfigError: scikit-learn is not installed.

    References:
        Pedregosa et al. 2011, "Scikit-learn: machine learning in Python".
    """

    def __init__(self, tokens: Tokens, lengths: Tokens, labels: Tokens, vocab_size: int) -> None:
        require_scikit_learn()
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        self._size = vocab_size
        self._model = make_pipeline(
            TfidfTransformer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000)
        )
        self._model.fit(self._counts(tokens, lengths), labels)

    def probabilities(self, tokens: Tokens, lengths: Tokens) -> Reals:
        """P(class | text) of texts end to end: (rows, classes seen in training)."""
        probabilities: Reals = self._model.predict_proba(self._counts(tokens, lengths))
        return probabilities

    def _counts(self, tokens: Tokens, lengths: Tokens) -> Any:
        from scipy.sparse import csr_matrix

        ends = np.concatenate([[0], np.cumsum(lengths)])
        matrix = csr_matrix((np.ones(len(tokens)), tokens, ends), (len(lengths), self._size))
        matrix.sum_duplicates()
        return matrix


class Linear:
    """Logistic or ridge regression on all numbers of a row (scikit-learn).

    Args:
        rows: (rows, numbers).
        target: class indices, or numbers where ``classes`` is false.
        classes: whether the target is a class.

    Raises:
        ConfigError: scikit-learn is not installed.
    """

    def __init__(self, rows: Reals, target: NDArray[Any], *, classes: bool) -> None:
        require_scikit_learn()
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        last = LogisticRegression(max_iter=1000) if classes else Ridge()
        self._model = make_pipeline(StandardScaler(), last)
        self._model.fit(rows, target)

    def probabilities(self, rows: Reals) -> Reals:
        """P(class | row): (rows, classes)."""
        probabilities: Reals = self._model.predict_proba(rows)
        return probabilities

    def numbers(self, rows: Reals) -> Reals:
        """The predicted numbers."""
        predictions: Reals = self._model.predict(rows)
        return predictions


def require_scikit_learn() -> None:
    if not has_scikit_learn():
        raise ConfigError('this baseline needs scikit-learn: pip install "elman[data]"')


class MostFrequentTag:
    """The most frequent label of each word in training; of all words for a new word.

    Args:
        words: all training words end to end, numbers in [0, size).
        tags: the label of each.
        size: the number of distinct words, with new ones.

    Example:
        >>> model = MostFrequentTag(np.array([0, 0, 1]), np.array([2, 2, 0]), size=3)
        >>> model.tags(np.array([0, 1, 2]))
        array([2, 0, 2])
    """

    def __init__(self, words: Tokens, tags: Tokens, size: int) -> None:
        self.overall = int(np.bincount(tags).argmax())
        pairs, counts = np.unique(np.stack([words, tags]), axis=1, return_counts=True)
        self._tags = np.full(size, self.overall)
        order = counts.argsort(kind="stable")  # the most frequent is written last, and stays
        self._tags[pairs[0, order]] = pairs[1, order]

    def tags(self, words: Tokens) -> Tokens:
        """A label for each word."""
        tags: Tokens = self._tags[words]
        return tags
