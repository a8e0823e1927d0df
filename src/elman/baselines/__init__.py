"""What a recurrent network has to beat, on the same tokens, vocabulary and splits."""

from __future__ import annotations

from elman.baselines._bags import (
    BagOfWords,
    Linear,
    MostFrequentTag,
    TfidfLogistic,
    has_scikit_learn,
)
from elman.baselines._nearest import NearestRow
from elman.baselines._ngram import NAMES, NGram, ngram_baselines
from elman.baselines._paths import Neighbors
from elman.baselines._rolls import LastFrame, Marginal
from elman.baselines._season import find_season
from elman.baselines._series import SeasonalNaive
from elman.baselines._word_by_word import WordByWord

__all__ = [
    "NAMES",
    "BagOfWords",
    "LastFrame",
    "Linear",
    "Marginal",
    "MostFrequentTag",
    "NGram",
    "NearestRow",
    "Neighbors",
    "SeasonalNaive",
    "TfidfLogistic",
    "WordByWord",
    "find_season",
    "has_scikit_learn",
    "ngram_baselines",
]


def __dir__() -> list[str]:
    return sorted(__all__)
