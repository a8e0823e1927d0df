"""The one glossary: what the letters in shapes and the letters of gates stand for.

Shapes are written as jaxtyping annotations, ``Float[Tensor, "B T I"]``, and checked at every call
while the tests run.
"""

from __future__ import annotations

from typing import Final

SHAPES: Final = {
    "B": "rows of a batch",
    "T": "time steps",
    "I": "input features",
    "H": "hidden units",
    "G": "gates of a cell; GH is G * H",
    "O": "output features",
    "L": "layers, times directions",
    "V": "entries of a vocabulary",
    "S": "places of a memory that is attended to",
    "M": "features of such a memory",
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
