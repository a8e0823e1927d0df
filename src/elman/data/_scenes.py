"""Pictures of shapes with their sentences, made from a seed; some combinations are kept to test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman._errors import ConfigError

Pixels = NDArray[np.uint8]
Reals = NDArray[np.float64]

SIZE, CELL, FINER = 40, 10, 3
"""Pixels of a side; of the square that one shape has; points along a pixel that are looked at."""

PLACES = ("upper left", "upper right", "lower left", "lower right")
COUNTS = ("a", "two", "three")
COLORS = {
    "red": (225, 45, 45), "green": (45, 190, 60), "blue": (60, 90, 240),
    "yellow": (240, 220, 50), "purple": (180, 60, 215), "white": (235, 235, 235),
}  # fmt: skip
SHAPES: dict[str, Callable[[Reals, Reals], NDArray[np.bool_]]] = {
    "circle": lambda x, y: x * x + y * y < 1,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 0.9,
    "triangle": lambda x, y: (y < 0.8) & (abs(x) < 0.55 * (y + 1)),
    "cross": lambda x, y: (np.maximum(abs(x), abs(y)) < 1) & (np.minimum(abs(x), abs(y)) < 0.33),
    "ring": lambda x, y: (x * x + y * y < 1) & (x * x + y * y > 0.3),
}
"""What lies inside of each, within -1 to 1 to the right and down."""

PLURALS = {"cross": "crosses"}
PARTS = ("train",) * 8 + ("valid", "test")


class ShapeGroup(NamedTuple):
    """One to three shapes of one color in one corner."""

    place: int
    number: int
    color: str
    shape: str

    def words(self) -> str:
        """As in "in the upper left two red rings"."""
        many = PLURALS.get(self.shape, f"{self.shape}s") if self.number > 1 else self.shape
        return f"in the {PLACES[self.place]} {COUNTS[self.number - 1]} {self.color} {many}"


def part_of(count: int, color: str, shape: str) -> str:
    """The split in which a count of shapes of a color may occur.

    With counts, colors and shapes numbered from 0 in the order of `COUNTS`, `COLORS` and
    `SHAPES`, the sum of the three modulo 8 is 0 in the 10 combinations of the test scenes, 1 in
    the 9 of the validation scenes. Any two of the three are together in training, too.

    >>> part_of(1, "red", "circle"), part_of(2, "red", "circle"), part_of(3, "red", "circle")
    ('test', 'valid', 'train')
    """
    total = count - 1 + [*COLORS].index(color) + [*SHAPES].index(shape)
    return {0: "test", 1: "valid"}.get(total % 8, "train")


COMBINATIONS: dict[str, list[tuple[int, str, str]]] = {
    part: [
        each
        for each in product(range(1, len(COUNTS) + 1), COLORS, SHAPES)
        if part_of(*each) == part
    ]
    for part in ("train", "valid", "test")
}


def scenes(rows: int, steps: int, seed: int) -> Iterator[Mapping[str, Any]]:
    """Scenes of ``steps`` groups of shapes, each in a corner, and a sentence that describes them.

    Of ten scenes eight are for training, one for validation, one for testing. Each of the latter
    two has a group whose combination of count, color and shape occurs in no other split, see
    `part_of`: a model that memorized groups cannot describe it.

    Raises:
        ConfigError: there are four corners.

    References:
        Lake & Baroni 2018, "Generalization without systematicity", for what is tested.
    """
    if not 1 <= steps <= len(PLACES):
        raise ConfigError(f"data.steps must be from 1 to {len(PLACES)} groups, got {steps}")
    draw = np.random.default_rng(seed)
    for row in range(rows):
        part = PARTS[row % len(PARTS)]
        groups = _groups(draw, part, steps)
        yield {
            "image": _painted(draw, groups),
            "caption": " and ".join(group.words() for group in groups),
            "split": part,
        }


def _groups(draw: np.random.Generator, part: str, count: int) -> list[ShapeGroup]:
    """One group of the part's own combinations, and others that training may have, too."""
    own = COMBINATIONS[part]
    allowed = [own, *[sorted({*COMBINATIONS["train"], *own})] * (count - 1)]
    places = draw.permutation(len(PLACES))[:count].tolist()
    chosen = [some[draw.integers(len(some))] for some in allowed]
    return sorted(ShapeGroup(place, *each) for place, each in zip(places, chosen, strict=True))


def _painted(draw: np.random.Generator, groups: list[ShapeGroup]) -> Pixels:
    """The scene (SIZE, SIZE, 3), on a dark and noisy ground."""
    image = draw.uniform(0, 60) + draw.normal(0, 8, (SIZE, SIZE, 3))
    for group in groups:
        across, down = group.place % 2 * 2, group.place // 2 * 2
        for cell in draw.permutation(4)[: group.number].tolist():
            top, left = CELL * (down + cell // 2), CELL * (across + cell % 2)
            patch = image[top : top + CELL, left : left + CELL]
            covered = _covered(draw, group.shape)[..., None]
            color = np.array(COLORS[group.color]) + draw.normal(0, 12, 3)
            patch += covered * (color - patch)
    return image.clip(0, 255).astype(np.uint8)


def _covered(draw: np.random.Generator, shape: str) -> Reals:
    """What share of each pixel of a cell a shape covers, of any size and place that fits."""
    radius = draw.uniform(3.2, CELL / 2 - 0.2)
    center = CELL / 2 + draw.uniform(-1, 1, 2) * (CELL / 2 - radius)
    grid = (np.arange(CELL * FINER) + 0.5) / FINER
    x, y = (grid - center[0]) / radius, (grid[:, None] - center[1]) / radius
    inside = SHAPES[shape](
        np.broadcast_to(x, (len(grid), len(grid))), np.broadcast_to(y, (len(grid), len(grid)))
    )
    covered: Reals = inside.reshape(CELL, FINER, CELL, FINER).mean((1, 3))
    return covered
