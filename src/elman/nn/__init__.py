"""What tasks are built with, beside recurrence: embeddings, pooling, output layers, their loss."""

from __future__ import annotations

from elman.nn._cross_entropy import LinearCrossEntropy, linear_cross_entropy
from elman.nn._embedding import Embedding, OneHot, OutputLayer
from elman.nn._feedforward import FeedForward
from elman.nn._pool import POOLS, Pool

__all__ = [
    "POOLS",
    "Embedding",
    "FeedForward",
    "LinearCrossEntropy",
    "OneHot",
    "OutputLayer",
    "Pool",
    "linear_cross_entropy",
]
