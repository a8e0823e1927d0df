"""Translation without order: each source token by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]

MOST = 10_000_000
"""The most pairs of a source and a target token that are counted; later rows are ignored."""


class WordByWord:
    r"""IBM model 1: word translation probabilities from co-occurrence.

    .. math:: p(y \mid x) \propto \prod_j \sum_i t(y_j \mid x_i), \qquad i = 0..|x|

    Place 0 is a null token that every source has, for targets without a source. Expectation
    maximization fits t. A source token is then translated to its likeliest target token, or to
    nothing if fewer than half of its occurrences are aligned.

    Args:
        sources: tokens of each row, numbers from 0.
        targets: tokens of its translation, likewise.
        rounds: iterations of expectation maximization.

    Example:
        >>> pairs = [([0, 1], [7, 8]), ([0], [7]), ([2, 1], [9, 8])]
        >>> model = WordByWord(*zip(*pairs))
        >>> model.translate([1, 2, 0, 5])
        [8, 9, 7]

    References:
        Brown et al. 1993, "The mathematics of statistical machine translation".
    """

    def __init__(self, sources: list[list[int]], targets: list[list[int]], rounds: int = 5) -> None:
        word, place, target = _cells(sources, targets)
        base = 1 + int(target.max(initial=0))
        kinds, which = np.unique(word * base + target, return_inverse=True)
        of = kinds // base
        chance = np.ones(len(kinds))
        for _ in range(rounds):
            share = chance[which]
            share /= np.bincount(place, share)[place]
            counts = np.bincount(which, share, len(kinds))
            chance = counts / np.bincount(of, counts)[of]
        occurs = np.bincount(np.concatenate([np.asarray(s, dtype=np.int64) for s in sources]))
        best = np.lexsort((chance, of))
        last = best[np.append(of[best][1:] != of[best][:-1], True)]
        aligned = np.bincount(of, counts)
        self._best = {
            int(of[k]) - 1: int(kinds[k] % base)
            for k in last
            if of[k] and 2 * aligned[of[k]] >= occurs[of[k] - 1]
        }

    def translate(self, source: list[int]) -> list[int]:
        """A target token for each source token that has one."""
        return [self._best[token] for token in source if token in self._best]


def _cells(sources: list[list[int]], targets: list[list[int]]) -> tuple[Tokens, Tokens, Tokens]:
    """Pairs of a source token (from 1; 0 for null) and a target token, with the target's place."""
    words: list[Tokens] = []
    places: list[Tokens] = []
    meanings: list[Tokens] = []
    place = total = 0
    for source, target in zip(sources, targets, strict=True):
        total += (len(source) + 1) * len(target)
        if total > MOST and words:
            break
        words.append(np.tile(np.append(np.asarray(source, dtype=np.int64) + 1, 0), len(target)))
        here = np.arange(place, place + len(target))
        places.append(np.repeat(here, len(source) + 1))
        meanings.append(np.repeat(np.asarray(target, dtype=np.int64), len(source) + 1))
        place += len(target)
    return np.concatenate(words), np.concatenate(places), np.concatenate(meanings)
