"""Measures of a model's predictions, as plain functions of sums and tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from importlib.util import find_spec
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from elman._errors import ConfigError, ShapeError

__all__ = [
    "Bleu",
    "Metric",
    "accuracy",
    "bits_per_char",
    "bleu",
    "calibration_error",
    "confusion",
    "edit_distance",
    "error_rate",
    "exact_match",
    "frame_accuracy",
    "has_sacrebleu",
    "macro_f1",
    "offsets",
    "perplexity",
    "span_f1",
    "spans",
    "temperature",
]


BESIDE = re.compile(r"\s*([^\w\s])\s*")
"""Punctuation with the spaces beside it."""


class Metric(NamedTuple):
    """A metric that models are compared by.

    Attributes:
        name: its key among the metrics of a model.
        higher_is_better: whether a higher value is the better one.

    Example:
        >>> accuracy = Metric("accuracy", higher_is_better=True)
        >>> accuracy.cost({"accuracy": 0.75, "nats": 0.6}), accuracy.better(0.8, than=0.75)
        (-0.75, True)
    """

    name: str
    higher_is_better: bool = False

    def cost(self, metrics: Mapping[str, float]) -> float:
        """The metric with its sign changed where higher is better: lower is better."""
        return -metrics[self.name] if self.higher_is_better else metrics[self.name]

    def better(self, value: float, than: float) -> bool:
        """Whether one value is better than another."""
        return value > than if self.higher_is_better else value < than


def perplexity(nats: float) -> float:
    r"""The number of equally likely choices that would be as uncertain.

    .. math:: \mathrm{PPL} = \exp\Big(-\frac{1}{N} \sum_t \ln p(w_t \mid w_{<t})\Big)

    Args:
        nats: mean negative log-probability of a token, in nats.

    >>> round(perplexity(math.log(50)), 6)
    50.0
    """
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def bits_per_char(nats: float, tokens_per_char: float = 1.0) -> float:
    r"""Mean code length of a character in bits.

    .. math:: \mathrm{BPC} = \frac{\mathrm{tokens}}{\mathrm{characters}}
        \cdot \frac{\mathrm{nats}}{\ln 2}

    Args:
        nats: mean negative log-probability of a token, in nats.
        tokens_per_char: tokens for each character of the text; 1 where characters are the tokens.

    >>> bits_per_char(math.log(2))
    1.0
    """
    return tokens_per_char * nats / math.log(2)


def accuracy(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> float:
    """The share of predictions that are right, among those that count.

    Args:
        predicted: class indices, any shape.
        target: class indices, the same shape.
        mask: True where a prediction counts, the same shape; None for everywhere.

    Returns:
        A number from 0 to 1; NaN when nothing counts.

    Raises:
        ShapeError: the shapes differ.

    >>> import torch
    >>> target = torch.tensor([1, 2, 3])
    >>> accuracy(torch.tensor([1, 2, 0]), target, mask=target < 3)
    1.0
    """
    shapes = {tuple(t.shape) for t in (predicted, target, mask) if t is not None}
    if len(shapes) > 1:
        raise ShapeError(
            f"predicted, target and mask must have one shape, got {tuple(predicted.shape)}, "
            f"{tuple(target.shape)} and {None if mask is None else tuple(mask.shape)}"
        )
    right = predicted == target
    if mask is not None:
        right = right[mask.bool()]
    return float(right.double().mean())


def frame_accuracy(predicted: Tensor, target: Tensor) -> float:
    r"""Of all notes that are there or were said, the share that is both, over all frames.

    .. math:: \frac{\mathrm{TP}}{\mathrm{TP} + \mathrm{FP} + \mathrm{FN}}

    Silent keys that are rightly said to be silent, nearly all of them, do not count.

    Args:
        predicted: booleans (frames, keys).
        target: the same.

    Example:
        >>> said, true = torch.tensor([[1, 1, 0, 0]]), torch.tensor([[1, 0, 1, 0]])
        >>> round(frame_accuracy(said.bool(), true.bool()), 3)
        0.333

    References:
        Bay, Ehmann & Downie 2009, "Evaluation of multiple-F0 estimation and tracking systems".
    """
    either = int((predicted | target).sum())
    return int((predicted & target).sum()) / either if either else 1.0


def confusion(predicted: Tensor, target: Tensor, classes: int) -> Tensor:
    """How often a class (row) was taken for a class (column): (classes, classes) integers.

    >>> import torch
    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
    tensor([[1, 1],
            [0, 1]])
    """
    pairs = target.flatten() * classes + predicted.flatten()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def macro_f1(matrix: Tensor) -> float:
    r"""The mean over classes of the harmonic mean of precision and recall.

    .. math:: F_1 = \frac{1}{C} \sum_c \frac{2\, TP_c}{2\, TP_c + FP_c + FN_c}

    Args:
        matrix: of `confusion`. A class that neither is nor was predicted does not count.

    >>> import torch
    >>> round(macro_f1(torch.tensor([[1, 1], [0, 1]])), 4)
    0.6667
    """
    hits = matrix.diagonal().double()
    there = (matrix.sum(0) + matrix.sum(1)).double()
    return float((2 * hits / there)[there > 0].mean())


def offsets(logs: Tensor, target: Tensor, rounds: int = 2) -> Tensor:
    r"""What to add to log-probabilities so that the highest makes a good macro-F1: (classes,).

    .. math:: \hat y = \arg\max_c \ln p_c + o_c

    The likeliest class is right most often, and a rare one then almost never said. One offset after
    the other takes the best of a grid. Fit them on validation rows, never on those that are tested.

    Args:
        logs: log-probabilities (rows, classes).
        target: class indices (rows,).
        rounds: how often each offset is looked at.

    >>> import torch
    >>> logs = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]]).log()
    >>> offset = offsets(logs, torch.tensor([0, 0, 1]))
    >>> (logs + offset).argmax(-1)
    tensor([0, 0, 1])
    """
    classes = logs.shape[-1]
    offset = torch.zeros(classes, dtype=logs.dtype)

    def score(which: int, value: float) -> float:
        candidate = offset.clone()
        candidate[which] = value
        return macro_f1(confusion((logs + candidate).argmax(-1), target, classes))

    for _ in range(rounds):
        for which in range(classes):
            grid = [float(offset[which]), *(0.25 * step for step in range(-2, 13))]
            offset[which] = max(grid, key=lambda value, which=which: score(which, value))  # type: ignore[misc]
    return offset


def calibration_error(probabilities: Tensor, target: Tensor, bins: int = 15) -> float:
    r"""How far confidence and accuracy are apart: the expected calibration error.

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{N} \left| \mathrm{acc}_b - \mathrm{conf}_b \right|

    Args:
        probabilities: (rows, classes).
        target: class indices (rows,).
        bins: equally wide ones.

    >>> import torch
    >>> round(calibration_error(torch.tensor([[0.8, 0.2], [0.8, 0.2]]), torch.tensor([0, 1])), 4)
    0.3

    References:
        Guo et al. 2017, "On calibration of modern neural networks".
    """
    confidence, predicted = probabilities.double().max(-1)
    which = (confidence * bins).long().clamp(max=bins - 1)
    gaps = torch.zeros(bins, dtype=torch.double, device=confidence.device)
    gaps.index_add_(0, which, (predicted == target).double() - confidence)
    return float(gaps.abs().sum() / len(target))


def temperature(scores: Tensor, target: Tensor) -> float:
    r"""The number to divide scores by so that their probabilities are likeliest.

    .. math:: \tau = \arg\min_\tau -\sum_b \ln \mathrm{softmax}(z_b / \tau)_{y_b}

    It changes no decision. Fit it on validation rows, never on those that are tested.

    Args:
        scores: (rows, classes).
        target: class indices (rows,).

    >>> import torch
    >>> round(temperature(torch.tensor([[9.0, 0], [9.0, 0], [9.0, 0]]), torch.tensor([0, 0, 1])), 1)
    13.0

    References:
        Guo et al. 2017, "On calibration of modern neural networks".
    """
    scores = scores.detach().double().cpu()
    target = target.cpu()
    low, high = math.log(1e-2), math.log(1e2)
    golden = (math.sqrt(5) - 1) / 2

    def nats(log: float) -> float:
        return float(F.cross_entropy(scores / math.exp(log), target))

    for _ in range(60):  # of log tau: the loss has one minimum there
        left, right = high - golden * (high - low), low + golden * (high - low)
        if nats(left) <= nats(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def spans(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """The spans that BIO tags mark: (first, one after the last, kind).

    ``I-x`` without a span of x before it begins one, as conlleval has it.

    >>> sorted(spans(["B-PER", "I-PER", "O", "I-LOC"]))
    [(0, 2, 'PER'), (3, 4, 'LOC')]
    """
    entities, start, kind = set(), 0, ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            entities.add((start, place, kind))
            kind = ""
        if prefix in ("B", "I") and not kind:
            start, kind = place, name
    return entities


def span_f1(predicted: Sequence[Sequence[str]], target: Sequence[Sequence[str]]) -> float:
    """Harmonic mean of precision and recall of whole spans, over all sentences.

    >>> span_f1([["B-PER", "O"]], [["B-PER", "I-PER"]])
    0.0
    """
    predictions = [(row, *span) for row, tags in enumerate(predicted) for span in spans(tags)]
    references = {(row, *span) for row, tags in enumerate(target) for span in spans(tags)}
    if not predictions and not references:
        return 0.0
    return 2 * len(references.intersection(predictions)) / (len(predictions) + len(references))


def edit_distance(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """The fewest insertions, deletions and replacements that make one sequence of the other.

    >>> edit_distance("kitten", "sitting")
    3

    References:
        Levenshtein 1966, "Binary codes capable of correcting deletions, insertions, and reversals".
    """
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        corner, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            corner, row[j] = row[j], min(corner + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def exact_match(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The share of texts that equal one of their references.

    Spaces beside punctuation do not count: some references are written "a dog .", others "a dog."

    Args:
        texts: what a model wrote, one or more.
        references: for each text, what people wrote.

    >>> exact_match(["a dog.", "a cat"], [["A dog .", "a dog ."], ["a dog"]])
    0.5
    """
    pairs = zip(texts, references, strict=True)
    return sum(_closed(text) in map(_closed, several) for text, several in pairs) / len(texts)


def _closed(text: str) -> str:
    """A text without spaces beside punctuation."""
    return BESIDE.sub(r"\1", text)


def error_rate(
    predicted: Sequence[Sequence[Hashable]], target: Sequence[Sequence[Sequence[Hashable]]]
) -> float:
    r"""Edits for each token of what is right; of several right sequences the nearest counts.

    .. math:: \mathrm{PER} = \frac{\sum_b d(\hat y_b, y_b)}{\sum_b |y_b|}, \qquad
        y_b = \arg\min_{y \in Y_b} d(\hat y_b, y)

    Args:
        predicted: a sequence a row.
        target: for each row the sequences that are right.

    >>> error_rate(["AB", "C"], [["AC", "ABD"], ["C"]])
    0.3333333333333333
    """
    edits = tokens = 0
    for hypothesis, variants in zip(predicted, target, strict=True):
        distance, least = min((edit_distance(hypothesis, right), len(right)) for right in variants)
        edits, tokens = edits + distance, tokens + least
    return edits / tokens if tokens else math.nan


class Bleu(NamedTuple):
    """BLEU from 0 to 100, and the signature that says how it was counted."""

    score: float
    signature: str


def has_sacrebleu() -> bool:
    """Whether `bleu` can be measured here."""
    return find_spec("sacrebleu") is not None


def bleu(predicted: Sequence[str], target: Sequence[Sequence[str]], order: int = 4) -> Bleu:
    """The BLEU of a corpus as sacreBLEU has it, on texts as people write them.

    Where no prediction has four words, runs of four do not count: else all of them would be worth
    nothing. The signature then says eff:yes.

    Args:
        predicted: a text a row.
        target: for each row one translation or more.
        order: the longest n-grams that are compared.

    Raises:
        ConfigError: the package sacrebleu is not installed.

    >>> bleu(["A dog is running."], [["A dog is running."]]).signature[:30]
    'nrefs:1|case:mixed|eff:no|tok:'

    References:
        Papineni et al. 2002, "BLEU: a method for automatic evaluation of machine translation".
        Post 2018, https://arxiv.org/abs/1804.08771, for why there is a signature.
    """
    if not has_sacrebleu():
        raise ConfigError('BLEU needs the package sacrebleu: pip install "elman[data]"')
    from sacrebleu.metrics.bleu import BLEU

    streams = [list(stream) for stream in zip_longest(*target)]
    counted = BLEU(max_ngram_order=order)
    score = counted.corpus_score(list(predicted), streams)
    if not score.totals[-1]:
        counted = BLEU(max_ngram_order=order, effective_order=True)
        score = counted.corpus_score(list(predicted), streams)
    return Bleu(score.score, counted.get_signature().format())


def __dir__() -> list[str]:
    return sorted(__all__)
