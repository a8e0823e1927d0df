"""Pieces as rows of a table, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data import Ragged, Rows, pad
from elman.data.music import KEYS
from elman.tasks._supervised import Part


def frames_of(rolls: Iterable[NDArray[Any]]) -> Ragged:
    """Pieces, each after a silent frame, from which its first frame is predicted."""
    silence = np.zeros((1, KEYS), np.uint8)
    frames = (np.concatenate([silence, roll]) for roll in rolls)
    return Ragged.of(frames, torch.uint8)


def rolls(rows: Rows) -> list[Tensor]:
    """The pieces again (frames, 88), booleans."""
    return [roll[1:].bool() for roll in rows.sequences("frames").unbind()]


class Pieces(Part):
    """Pieces of a batch, which the gradient policy may cut in time."""

    @property
    def steps(self) -> int:
        return int(self._lengths.max())

    @property
    def _lengths(self) -> Tensor:
        return self.of.lengths("frames")[self.indices] - 1

    def count(self, start: int, stop: int) -> int:
        return int((self._lengths.clamp(max=stop) - start).clamp(min=0).sum())

    def window(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames and those after them (time, batch, 88), and the lengths (batch,)."""
        column = self.of.sequences("frames")
        rows = [column[i][start : stop + 1] for i in self.indices.tolist()]
        frames, lengths = pad(rows)
        frames = frames.to(self.device, torch.float32).transpose(0, 1)
        return frames[:-1], frames[1:], (lengths.to(self.device) - 1).clamp(min=0)
