"""Pictures of music: piano rolls, composed and predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.music import LOWEST, key_name
from elman.pictures import COLORS, Picture

OCTAVE = 12
LONGEST = 64.0
"""Quarter notes that are shown of a piece."""


def expected(roll: NDArray[Any], p: NDArray[Any], step: float) -> Picture:
    """A piece (frames, 88), over how probable each key was before its frame was heard."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        start = slice(0, round(LONGEST / step))
        image = axes.imshow(
            p[start].T, vmin=0, vmax=1, cmap="Greys", **_placed(len(p[start]), step)
        )
        time, key = roll[start].nonzero()
        axes.plot((time + 0.5) * step, key, ".", color=COLORS[1], ms=2.5, label="sounds")
        figure.colorbar(image, label="probability before it is heard")
        axes.legend(loc="upper right", frameon=True)
        _scaled(axes, np.concatenate([roll[start], p[start] > 0.1]))

    return Picture("foreseen", draw, (9.0, 4.0))


def composed(name: str, roll: NDArray[Any], primed: int, step: float) -> Picture:
    """A generated piece, and the frames of it that were its prime."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        prime = np.arange(len(roll)) < primed
        for part, color, label in ((prime, 6, "prime"), (~prime, 0, "composed")):
            time, key = (roll * part[:, None]).nonzero()
            width, height = np.full(len(time), step), 0.8
            axes.barh(key, width, height, left=time * step, color=COLORS[color], label=label)
        if primed:
            axes.legend(loc="upper right", frameon=True)
        axes.set_xlim(0, len(roll) * step)
        _scaled(axes, roll)

    return Picture(name, draw, (9.0, 4.0))


def _placed(frames: int, step: float) -> dict[str, Any]:
    extent = (0, frames * step, -0.5, 87.5)
    return {"extent": extent, "origin": "lower", "aspect": "auto", "interpolation": "nearest"}


def _scaled(axes: Any, roll: NDArray[Any]) -> None:
    """The keys that are there, with each C named."""
    keys = np.unique(roll.nonzero()[1]) if roll.any() else np.array([27, 63])
    first = (OCTAVE - LOWEST) % OCTAVE
    octaves = [k for k in range(first, 88, OCTAVE) if keys[0] - 3 <= k <= keys[-1] + 3]
    axes.set_yticks(octaves, [key_name(k) for k in octaves])
    axes.set_ylim(keys[0] - 2, keys[-1] + 2)
    axes.set(xlabel="time in quarter notes", ylabel="key")
