"""One small task for each shape of sequence, made from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.data import records

END = "."
"""The last word of everything that is written."""

UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
TAGS = {
    "the": "article", "this": "article", "film": "noun", "music": "noun", "story": "noun",
    "was": "verb", "is": "verb", "very": "adverb", "not": "adverb", "quite": "adverb",
    "good": "adjective", "great": "adjective", "bad": "adjective", "awful": "adjective",
}  # fmt: skip


class Example(NamedTuple):
    """Rows of a task: what is read, each item a step, and what is to be written.

    ``images`` has the pixels (rows, 400) if an image is read, and no words then.
    """

    read: Sequence[Sequence[str]]
    written: Sequence[Sequence[str]]
    images: Tensor | None = None


def images(draw: np.random.Generator, count: int) -> tuple[Tensor, np.ndarray]:
    """First frames of films of a ball, as rows of pixels, and where the ball is (count, 2)."""
    seed = int(draw.integers(2**31))
    rows = [row.values for row in records("ball", "motion", rows=count, steps=1, seed=seed)]
    pixels = np.stack([row["frames"][0] for row in rows]).reshape(count, -1)
    return torch.from_numpy(pixels).float() / 255, np.stack([r["positions"][0, 0] for r in rows])


def side(x: float) -> str:
    """Left or right of the middle."""
    return "left" if x < 0.5 else "right"


def half(y: float) -> str:
    """Above or below the middle."""
    return "top" if y > 0.5 else "bottom"


def one_to_one(draw: np.random.Generator) -> Example:
    """An image to one word: on which side the ball is."""
    pixels, places = images(draw, 600)
    return Example([["image"]] * 600, [[side(x)] for x, _ in places], pixels)


def one_to_many(draw: np.random.Generator) -> Example:
    """An image to its caption."""
    pixels, places = images(draw, 600)
    captions = [f"a ball at the {half(y)} on the {side(x)} {END}".split() for x, y in places]
    return Example([["image"]] * 600, captions, pixels)


def sentence(draw: np.random.Generator) -> list[str]:
    """A verdict on a film in four to seven words."""

    def one(*words: str) -> str:
        return str(draw.choice(words))

    adverbs = [one("very", "quite")] if draw.random() < 0.5 else []
    denied = ["not"] if draw.random() < 0.5 else []
    verdict = one("good", "great", "bad", "awful")
    start = [one("the", "this"), one("film", "music", "story"), one("was", "is")]
    return [*start, *denied, *adverbs, verdict]


def different(
    draw: np.random.Generator, make: Callable[[np.random.Generator], list[str]]
) -> list[tuple[str, ...]]:
    """All the different sentences among 600."""
    return sorted({tuple(make(draw)) for _ in range(600)})


def many_to_one(draw: np.random.Generator) -> Example:
    """A sentence to its sentiment."""
    rows = different(draw, sentence)
    kind = ("negative", "positive")
    praises = [(row[-1] in {"good", "great"}) != ("not" in row) for row in rows]
    return Example(rows, [[kind[praise]] for praise in praises])


def many_to_many(draw: np.random.Generator) -> Example:
    """A sentence to its parts of speech, a tag a word."""
    rows = different(draw, sentence)
    return Example(rows, [[TAGS[word] for word in row] for row in rows])


def spoken(number: int) -> str:
    """A number below 1,000 in words.

    >>> spoken(7), spoken(40), spoken(342)
    ('seven', 'forty', 'three hundred forty two')
    """
    hundreds, rest = divmod(number, 100)
    tens, units = divmod(rest, 10)
    words = [f"{UNITS[hundreds]} hundred"] if hundreds else []
    if tens == 1:
        words.append(TEENS[units])
    elif tens:
        words.append(TENS[tens - 2])
    if tens != 1 and (units or not number):
        words.append(UNITS[units])
    return " ".join(words)


def translation(draw: np.random.Generator) -> Example:
    """A number, digit by digit, to words: as many as it takes."""
    numbers = draw.permutation(1000)
    return Example([list(str(n)) for n in numbers], [f"{spoken(n)} {END}".split() for n in numbers])


EXAMPLES: dict[str, Callable[[np.random.Generator], Example]] = {
    "one-to-one": one_to_one,
    "one-to-many": one_to_many,
    "many-to-one": many_to_one,
    "many-to-many": many_to_many,
    "translation": translation,
}
"""The five shapes; the last is many-to-many whose two lengths differ."""
