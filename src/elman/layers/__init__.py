"""Layers: cells over sequences, and torch.nn's own recurrent modules on them."""

from __future__ import annotations

from elman.layers._base import Layer
from elman.layers._causal_conv import CausalConv1d
from elman.layers._compose import Bidirectional, Dropout, Residual, Stack
from elman.layers._drop_in import GRU, LSTM, RNN, DropIn
from elman.layers._drop_in_cells import GRUCell, LSTMCell, RNNCell
from elman.layers._feedforward import FeedForward
from elman.layers._interop import convert, to_torch
from elman.layers._keras import from_keras
from elman.layers._recurrent import Recurrent

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "CausalConv1d",
    "DropIn",
    "Dropout",
    "FeedForward",
    "GRUCell",
    "LSTMCell",
    "Layer",
    "RNNCell",
    "Recurrent",
    "Residual",
    "Stack",
    "convert",
    "from_keras",
    "to_torch",
]


def __dir__() -> list[str]:
    return sorted(__all__)
