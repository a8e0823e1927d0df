from __future__ import annotations

import math
import random
from itertools import product

import pytest
import sacrebleu
import seqeval.metrics
import sklearn.metrics
import torch
from torch.nn import functional as F

from elman._errors import ShapeError
from elman.metrics import (
    accuracy,
    bits_per_char,
    bleu,
    calibration_error,
    confusion,
    edit_distance,
    error_rate,
    macro_f1,
    perplexity,
    span_f1,
    temperature,
)


def test_perplexity_of_a_uniform_choice_is_its_size() -> None:
    assert perplexity(math.log(10_000)) == pytest.approx(10_000)
    assert perplexity(0) == 1


def test_perplexity_overflows_to_infinity() -> None:
    assert perplexity(1e4) == math.inf
    assert math.isnan(perplexity(math.nan))


def test_bits_per_char_counts_characters_not_tokens() -> None:
    assert bits_per_char(math.log(256)) == pytest.approx(8)
    assert bits_per_char(math.log(256), tokens_per_char=0.25) == pytest.approx(2)


def test_accuracy_ignores_what_is_masked() -> None:
    predicted, target = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[1, 0], [3, 1]])
    assert accuracy(predicted, target) == 0.5
    assert accuracy(predicted, target, target > 0) == pytest.approx(2 / 3)
    assert math.isnan(accuracy(predicted, target, target > 5))


def test_accuracy_refuses_to_broadcast() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 1\)"):
        accuracy(torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        accuracy(torch.zeros(2), torch.zeros(2), torch.ones(3))


def test_confusion_and_macro_f1_are_those_of_scikit_learn() -> None:
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        classes = 2 + seed % 5
        # Skewed, so that some class is often never predicted or never true.
        predicted, target = (
            (torch.rand(30, generator=draw) ** 3 * classes).long() for _ in range(2)
        )
        matrix = confusion(predicted, target, classes)
        expected = sklearn.metrics.confusion_matrix(target, predicted, labels=range(classes))
        assert matrix.tolist() == expected.tolist()
        f1 = sklearn.metrics.f1_score(target, predicted, average="macro", zero_division=0)
        assert macro_f1(matrix) == pytest.approx(f1)


def test_calibration_error_is_the_gap_in_each_bin() -> None:
    p = torch.tensor([0.95, 0.95, 0.95, 0.65, 0.65])
    probabilities = torch.stack([p, 1 - p], 1)
    target = torch.tensor([0, 0, 1, 0, 1])
    expected = 3 / 5 * abs(2 / 3 - 0.95) + 2 / 5 * abs(1 / 2 - 0.65)
    assert calibration_error(probabilities, target, bins=10) == pytest.approx(expected)


def test_the_temperature_is_the_one_that_drew_the_labels() -> None:
    scores = torch.randn(20_000, 4) * 3
    target = torch.multinomial((scores / 2.5).softmax(-1), 1)[:, 0]
    found = temperature(scores, target)
    assert found == pytest.approx(2.5, rel=0.05)
    best = F.cross_entropy(scores / found, target)
    assert best <= F.cross_entropy(scores / (found * 1.1), target)
    assert best <= F.cross_entropy(scores / (found * 0.9), target)


def test_span_f1_is_that_of_seqeval() -> None:
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    draw = random.Random(0)
    for _ in range(50):
        lengths = [draw.randint(1, 8) for _ in range(5)]
        predicted, target = ([draw.choices(tags, k=n) for n in lengths] for _ in range(2))
        expected = seqeval.metrics.f1_score(target, predicted, zero_division=0)
        assert span_f1(predicted, target) == pytest.approx(expected)
    assert span_f1([["O"]], [["O"]]) == 0


def test_edit_distance_is_that_of_its_definition() -> None:
    def slow(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b[1:]) + (a[0] != b[0]), slow(a[1:], b) + 1, slow(a, b[1:]) + 1)

    words = ["", "a", "ab", "ba", "abcd", "badc", "aabb", "dcba", "cabd"]
    for one, other in product(words, words):
        assert edit_distance(one, other) == slow(one, other)


def test_the_nearest_of_several_counts() -> None:
    assert error_rate(["abx"], [["abc", "uvwxyz"]]) == pytest.approx(1 / 3)
    assert error_rate(["", "ab"], [["ab"], ["ab", "b"]]) == pytest.approx(2 / 4)


def test_bleu_is_that_of_sacrebleu() -> None:
    said = ["The cat sat on a mat.", "It is raining today, I think.", "no"]
    right = [
        ["The cat sat on the mat."],
        ["It rains today, I think.", "I think it is raining."],
        ["No."],
    ]
    streams = [[r[0] for r in right], [r[1] if len(r) > 1 else None for r in right]]
    found = bleu(said, right)
    assert found.score == pytest.approx(sacrebleu.corpus_bleu(said, streams).score)
    assert 0 < found.score < 100
    assert found.signature.startswith("nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_bleu_of_texts_without_four_words() -> None:
    assert bleu(["a dog", "no"], [["a dog"], ["no"]]).score == pytest.approx(100)
    assert "eff:yes" in bleu(["a dog"], [["a cat"]]).signature
    assert bleu(["x x x x x"], [["a dog"]]).score < 5
