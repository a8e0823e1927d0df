"""Pictures of captioning: images with what is said of them, and where the decoder looked."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from elman.pictures import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ACROSS = 28, 4
"""Characters of a line under an image; images side by side."""


class Shown(NamedTuple):
    """An image (3, size, size), what is said of it, and what people say."""

    image: Tensor
    said: str
    right: Sequence[str]


class Looked(NamedTuple):
    """An image, the words said, and for each the weights of its regions (side, side)."""

    image: Tensor
    words: Sequence[str]
    weights: Tensor


def contact_sheet(shown: Sequence[Shown], figure: Figure) -> None:
    """Images in rows, each above its caption; where nobody says that, what they say below it."""
    down = -(-len(shown) // ACROSS)
    for axes, one in zip(
        figure.subplots(down, ACROSS, squeeze=False).flat,
        [*shown, *[None] * (down * ACROSS - len(shown))],
        strict=True,
    ):
        axes.axis("off")
        if one is not None:
            _draw(axes, one.image)
            known = one.said in one.right
            text = one.said if known else f"{one.said}\n(right: {one.right[0]})"
            lines = "\n".join(fill(line, WIDTH) for line in text.split("\n"))
            axes.set_title(lines, y=-0.08, va="top", fontsize=7, color=COLORS[2 if known else 1])


def attention(looked: Sequence[Looked], figure: Figure) -> None:
    """For each image a row: a word above each picture, bright where the decoder looked for it."""
    most = max(len(one.words) for one in looked)
    for row, one in zip(figure.subplots(len(looked), 1 + most, squeeze=False), looked, strict=True):
        for axes in row:
            axes.axis("off")
        _draw(row[0], one.image)
        size = one.image.shape[-1]
        for axes, word, weights in zip(row[1:], one.words, one.weights, strict=False):
            _draw(axes, one.image, dim=0.35)
            axes.imshow(
                weights.numpy(),
                extent=(-0.5, size - 0.5, size - 0.5, -0.5),
                interpolation="bicubic",
                alpha=0.6,
            )
            axes.set_title(word, fontsize=7)


def _draw(axes: Axes, image: Tensor, dim: float = 1.0) -> None:
    pixels = image.permute(1, 2, 0).numpy().astype(np.float32) / 255
    axes.imshow(1 - dim * (1 - pixels) if dim < 1 else pixels)
