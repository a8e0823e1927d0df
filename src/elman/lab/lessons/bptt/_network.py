"""The small network whose loss is followed back through time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import elman

INPUTS = 2
"""Numbers of an item of the sequence."""


class OneNumber(nn.Module):
    """A simple recurrent network with one output at each step, whose W_hh is w times orthogonal.

    With one unit, W_hh is w itself.
    """

    def __init__(self, hidden: int, activation: str, w: float) -> None:
        super().__init__()
        cell = elman.cells.Elman(INPUTS, hidden, activation=activation)
        self.recurrent = elman.Recurrent(cell, init="orthogonal")
        self.output = nn.Linear(hidden, 1)
        with torch.no_grad():
            if hidden == 1:
                cell.weight_hh.fill_(1)  # a random orthogonal "matrix" would have a random sign
            cell.weight_hh.mul_(w)

    def states(self, x: Tensor) -> Tensor:
        """The hidden states (rows, steps, H)."""
        h: Tensor = self.recurrent(x)[0]
        return h

    def forward(self, x: Tensor) -> Tensor:
        """The outputs (rows, steps)."""
        y: Tensor = self.output(self.states(x))[..., 0]
        return y
