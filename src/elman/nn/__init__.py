"""What tasks are built with, beside recurrence: embeddings, pooling, attention, output layers."""

from __future__ import annotations

from elman.nn._attention import Attention, BahdanauAttention, LuongAttention, Memory
from elman.nn._cross_entropy import LinearCrossEntropy, linear_cross_entropy
from elman.nn._decoder import Decoded, Decoder
from elman.nn._embedding import Embedding, OneHot, OutputLayer
from elman.nn._pool import POOLS, Pool

__all__ = [
    "POOLS",
    "Attention",
    "BahdanauAttention",
    "Decoded",
    "Decoder",
    "Embedding",
    "LinearCrossEntropy",
    "LuongAttention",
    "Memory",
    "OneHot",
    "OutputLayer",
    "Pool",
    "linear_cross_entropy",
]


def __dir__() -> list[str]:
    return sorted(__all__)
