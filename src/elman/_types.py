"""The one glossary: what the letters in shapes and the letters of gates stand for.

Shapes are written as jaxtyping annotations, ``Float[Tensor, "B T I"]``, and the tests check them at
every call.
"""

from __future__ import annotations

from typing import Final

from jaxtyping import Bool, Float, Int
from torch import Tensor

SHAPES: Final = {
    "B": "rows of a batch",
    "T": "time steps",
    "I": "input features",
    "H": "hidden units",
    "G": "gates of a cell; GH is G * H",
    "O": "output features",
    "L": "layers, times directions",
    "V": "entries of a vocabulary",
}

GATES: Final = {
    "z": "pre-activation of an Elman cell; update gate of a GRU",
    "r": "reset gate",
    "n": "candidate of a GRU (torch calls it new)",
    "i": "input gate",
    "f": "forget gate",
    "g": "candidate of an LSTM (torch calls it the cell gate)",
    "o": "output gate",
}

Lengths = Int[Tensor, "B"]
"""How many real steps each row has; the steps after them are padding. Zero is allowed."""

Mask = Bool[Tensor, "B T"]
"""True at the steps that are real."""

Reset = Bool[Tensor, "B T"]
"""True where a row begins anew from its initial state."""

Tokens = Int[Tensor, "B T"]
"""Indices into a vocabulary."""

Scalar = Float[Tensor, ""]
"""A loss or a measure."""
