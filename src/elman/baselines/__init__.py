"""What a recurrent network has to beat, counted on the same tokens, vocabulary and splits."""

from __future__ import annotations

from elman.baselines._ngram import NAMES, NGram, ngram_baselines

__all__ = ["NAMES", "NGram", "ngram_baselines"]
