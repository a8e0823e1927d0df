"""Scenes: what is said of them is what is drawn, and what is kept to test is nowhere else."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from elman._errors import ConfigError
from elman.data import records
from elman.data._scenes import CELL, COLORS, COMBINATIONS, COUNTS, PLACES, SHAPES, SIZE, part_of

GROUP = re.compile(r"in the (\w+ \w+) (a|two|three) (\w+) (\w+)")
SINGULAR = {f"{shape}{'es' * (shape == 'cross') or 's'}": shape for shape in SHAPES}


def scenes(**options: Any) -> list[Any]:
    return [record.values for record in records("scenes", "caption", **options)]


def groups(caption: str) -> list[tuple[int, str, str, str]]:
    """Number, color, shape and place of each group."""
    return [
        (COUNTS.index(count) + 1, color, SINGULAR.get(shape, shape), place)
        for place, count, color, shape in GROUP.findall(caption)
    ]


def corner(image: NDArray[np.uint8], place: str) -> NDArray[np.uint8]:
    half, at = SIZE // 2, PLACES.index(place)
    return image[at // 2 * half :][:half, at % 2 * half :][:, :half]


def test_a_seed_makes_them_again() -> None:
    one, same, other = (scenes(rows=20, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        assert a["caption"] == b["caption"]
        assert np.array_equal(a["image"], b["image"])
    assert [a["caption"] for a in one] != [a["caption"] for a in other]
    assert {(a["image"].shape, a["image"].dtype.name) for a in one} == {((SIZE, SIZE, 3), "uint8")}


def test_the_sentence_says_what_is_drawn() -> None:
    for scene in scenes(rows=60, steps=4):
        there = {place: (n, color) for n, color, _, place in groups(scene["caption"])}
        assert scene["caption"].count("in the ") == len(there)  # each group in its own corner
        for place in PLACES:
            part = corner(scene["image"], place).astype(float)
            lit = part.max(-1) > 130
            count, color = there.get(place, (0, "red"))
            cells = lit.reshape(2, CELL, 2, CELL).any((1, 3)).sum()
            assert cells == count
            if count:
                nearest = np.abs(part[lit].mean(0) - np.array(COLORS[color])).max()
                assert nearest < 60


def test_what_is_tested_is_nowhere_else() -> None:
    seen = defaultdict(set)
    for scene in scenes(rows=1200):
        there = {g[:3] for g in groups(scene["caption"])}
        assert there & set(COMBINATIONS[scene["split"]])
        seen[scene["split"]] |= there
    assert {part: len(of) for part, of in COMBINATIONS.items()} == {
        "train": 71, "valid": 9, "test": 10,
    }  # fmt: skip
    assert seen["train"] == set(COMBINATIONS["train"])
    for part in ("valid", "test"):
        assert seen[part] - seen["train"] == set(COMBINATIONS[part])
    learned = COMBINATIONS["train"]
    assert len({(c, s) for _, c, s in learned}) == len(COLORS) * len(SHAPES)
    assert len({(n, s) for n, _, s in learned}) == len(COUNTS) * len(SHAPES)
    assert len({(n, c) for n, c, _ in learned}) == len(COUNTS) * len(COLORS)
    assert part_of(1, "red", "circle") == "test"


def test_there_are_four_corners() -> None:
    with pytest.raises(ConfigError, match=r"data.steps must be from 1 to 4 groups, got 5"):
        scenes(rows=1, steps=5)
