"""Pictures of captioning: images with their captions, and the attention of the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ACROSS = 28, 4
"""Characters of a line under an image; images side by side."""


class Captioned(NamedTuple):
    """An image (3, size, size), its caption by the network, and those by people."""

    image: Tensor
    caption: str
    references: Sequence[str]


class Attended(NamedTuple):
    """An image, the words of its caption, and for each the weights of the regions (side, side)."""

    image: Tensor
    words: Sequence[str]
    weights: Tensor


def contact_sheet(images: Sequence[Captioned], figure: Figure) -> None:
    """Images in rows, each above its caption, and below a wrong one a reference."""
    down = -(-len(images) // ACROSS)
    for axes, one in zip(
        figure.subplots(down, ACROSS, squeeze=False).flat,
        [*images, *[None] * (down * ACROSS - len(images))],
        strict=True,
    ):
        axes.axis("off")
        if one is not None:
            _draw(axes, one.image)
            known = one.caption in one.references
            text = one.caption if known else f"{one.caption}\n(reference: {one.references[0]})"
            lines = "\n".join(fill(line, WIDTH) for line in text.split("\n"))
            axes.set_title(lines, y=-0.08, va="top", fontsize=7)


def attention(images: Sequence[Attended], figure: Figure) -> None:
    """A row for each image: a word above each picture, bright where the decoder attended."""
    most = max(len(one.words) for one in images)
    for row, one in zip(figure.subplots(len(images), 1 + most, squeeze=False), images, strict=True):
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
