"""What tasks are built with, beside recurrence: embeddings, output layers and their loss."""

from __future__ import annotations

from elman.nn._cross_entropy import LinearCrossEntropy, linear_cross_entropy
from elman.nn._embedding import Embedding, OneHot, OutputLayer

__all__ = ["Embedding", "LinearCrossEntropy", "OneHot", "OutputLayer", "linear_cross_entropy"]
