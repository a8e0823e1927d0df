"""What may be said in words: only what the spread over seeds allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import combinations
from statistics import fmean, variance

from pydantic import BaseModel

LEVEL = 0.05
FEWEST = 3
NOTHING = "no difference that these seeds can show"


class PairwiseTest(BaseModel):
    """Two candidates; ``p`` is corrected for the number of pairs."""

    better: str
    worse: str
    better_mean: float
    worse_mean: float
    p: float


class Verdict(BaseModel):
    r"""Which candidates differ by more than their seeds do.

    .. math:: t = \frac{\bar x - \bar y}{\sqrt{s_x^2 / n_x + s_y^2 / n_y}}

    A pair differs where Welch's t-test, two-sided, has p < 0.05 after Holm's correction for all
    pairs, with three seeds or more of each that came to an end.

    Example:
        >>> values = {"gru": [0.97, 0.98, 0.98], "elman": [0.61, 0.55, 0.58], "lstm": [0.98, 0.97]}
        >>> print("\n".join(Verdict.of(values, "test accuracy", higher_is_better=True).sentences))
        gru is better than elman: test accuracy 0.9767 against 0.58 (p = 0.0014)
        lstm: no verdict: only 2 seeds came to their end, and it takes at least 3

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
        """The verdict on candidates whose seeds came to these values of what is measured."""
        rule = (
            f"two candidates differ on the {what} where Welch's t-test over seeds, two-sided, has "
            f"p < {LEVEL} after Holm's correction for all pairs, with at least {FEWEST} seeds each"
        )
        few = [
            f"{name}: no verdict: only {len(scores)} seed{'s' * (len(scores) != 1)} came to "
            f"{'their' if len(scores) != 1 else 'its'} end, and it takes at least {FEWEST}"
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
    """The probability of means at least so far apart where there is no difference."""
    from scipy.stats import ttest_ind_from_stats

    spread = [math.sqrt(variance(values)) for values in (x, y)]
    if not any(spread):  # the statistic is 0/0, or infinite
        return 1.0 if x[0] == y[0] else 0.0
    a, b = zip((fmean(x), fmean(y)), spread, (len(x), len(y)), strict=True)
    return float(ttest_ind_from_stats(*a, *b, equal_var=False).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """P-values for one family of tests: the smallest times their number, the next times one less.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def _sentences(pairs: Sequence[PairwiseTest], what: str) -> list[str]:
    """A sentence for each pair that differs, and one for all others."""
    different = [
        f"{pair.better} is better than {pair.worse}: {what} {pair.better_mean:.4g} against "
        f"{pair.worse_mean:.4g} (p = {pair.p:.2g})"
        for pair in pairs
        if pair.p < LEVEL
    ]
    alike = [f"{p.better} and {p.worse} (p = {p.p:.2g})" for p in pairs if p.p >= LEVEL]
    return [*different, f"{NOTHING}: {', '.join(alike)}"] if alike else different
