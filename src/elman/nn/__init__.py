"""What tasks are built with, beside recurrence: embeddings and output layers."""

from __future__ import annotations

from elman.nn._embedding import Embedding, OneHot, OutputLayer

__all__ = ["Embedding", "OneHot", "OutputLayer"]
