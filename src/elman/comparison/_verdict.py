"""The verdict of a comparison: differences that are significant over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import combinations
from statistics import fmean, variance

from pydantic import BaseModel

LEVEL = 0.05
FEWEST = 3
NOTHING = "no significant difference"


class PairwiseTest(BaseModel):
    """A test of two candidates; ``p`` is corrected for multiple tests."""

    better: str
    worse: str
    better_mean: float
    worse_mean: float
    p: float


class Verdict(BaseModel):
    r"""Which candidates differ significantly.

    .. math:: t = \frac{\bar x - \bar y}{\sqrt{s_x^2 / n_x + s_y^2 / n_y}}

    A pair differs if Welch's two-sided t-test has p < 0.05 after Holm's correction for all pairs;
    it takes at least three finished seeds of each.

    Example:
        >>> values = {"gru": [0.97, 0.98, 0.98], "elman": [0.61, 0.55, 0.58], "lstm": [0.98, 0.97]}
        >>> print("\n".join(Verdict.of(values, "test accuracy", higher_is_better=True).sentences))
        gru is better than elman: test accuracy 0.9767 against 0.58 (p = 0.0014)
        lstm: only 2 seeds finished; a significance test needs 3

    References:
        Welch 1947, "The generalization of 'Student's' problem when several different population
        variances are involved"; Holm 1979, "A simple sequentially rejective multiple test
        procedure".
    """

    rule: str
    pairs: list[PairwiseTest] = []
    sentences: list[str]

    @classmethod
    def of(
        cls, values: Mapping[str, Sequence[float]], what: str, *, higher_is_better: bool
    ) -> Verdict:
        """The verdict on candidates from the scores of their seeds."""
        rule = (
            f"two candidates differ in {what} if Welch's two-sided t-test over seeds has "
            f"p < {LEVEL} after Holm's correction for all pairs, with at least {FEWEST} seeds each"
        )
        few = [
            f"{name}: only {len(scores)} seed{'s' * (len(scores) != 1)} finished; a significance "
            f"test needs {FEWEST}"
            for name, scores in values.items()
            if len(scores) < FEWEST
        ]
        enough = {name: scores for name, scores in values.items() if len(scores) >= FEWEST}
        if len(enough) > 1 and find_spec("scipy") is None:
            return cls(rule=rule, sentences=['not tested: pip install "elman[data]" brings SciPy'])
        pairs = _tested(enough, higher_is_better)
        return cls(rule=rule, pairs=pairs, sentences=[*_sentences(pairs, what), *few])


def _tested(values: Mapping[str, Sequence[float]], higher_is_better: bool) -> list[PairwiseTest]:
    means = {name: fmean(scores) for name, scores in values.items()}
    order = sorted(means, key=lambda name: means[name], reverse=higher_is_better)
    pairs = list(combinations(order, 2))
    adjusted = holm([welch(values[a], values[b]) for a, b in pairs])
    return [
        PairwiseTest(better=a, worse=b, better_mean=means[a], worse_mean=means[b], p=p)
        for (a, b), p in zip(pairs, adjusted, strict=True)
    ]


def welch(x: Sequence[float], y: Sequence[float]) -> float:
    """The p-value of Welch's two-sided t-test for equal means."""
    from scipy.stats import ttest_ind_from_stats

    spread = [math.sqrt(variance(values)) for values in (x, y)]
    if not any(spread):  # the statistic is 0/0, or infinite
        return 1.0 if x[0] == y[0] else 0.0
    a, b = zip((fmean(x), fmean(y)), spread, (len(x), len(y)), strict=True)
    return float(ttest_ind_from_stats(*a, *b, equal_var=False).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's method: the smallest times n, the next times n - 1, and so on.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def _sentences(pairs: Sequence[PairwiseTest], what: str) -> list[str]:
    """A sentence for each significant pair, and one for all others."""
    different = [
        f"{pair.better} is better than {pair.worse}: {what} {pair.better_mean:.4g} against "
        f"{pair.worse_mean:.4g} (p = {pair.p:.2g})"
        for pair in pairs
        if pair.p < LEVEL
    ]
    alike = [f"{p.better} and {p.worse} (p = {p.p:.2g})" for p in pairs if p.p >= LEVEL]
    return [*different, f"{NOTHING}: {', '.join(alike)}"] if alike else different
