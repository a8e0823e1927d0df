"""Sentences whose order decides: what is said, and what is denied."""

from __future__ import annotations

import random
from typing import NamedTuple

GOOD = (
    "good", "great", "tasty", "fresh", "warm", "friendly", "kind", "lovely", "clean", "quick",
)  # fmt: skip
BAD = (
    "bad", "awful", "stale", "bland", "cold", "rude", "slow", "dirty", "terrible", "noisy",
)  # fmt: skip
SUBJECTS = (
    "the food was", "the soup was", "the bread was", "the wine was", "the room was",
    "our waiter was", "the service was",
)  # fmt: skip
TEMPLATES = (
    "{it} {said} .",
    "{it} not {denied} .",
    "{it} never {denied} .",
    "{it} {said} and {more} .",
    "{it} {said} , not {denied} .",
    "{it} {said} , not {denied} at all .",
    "{it} {said} , never {denied} .",
    "{it} not {denied} but {said} .",
)
HELD_OUT = 5
"""One of so many pairs of a good and a bad word is never in a training sentence."""


class Sentence(NamedTuple):
    """A sentence, and whether it praises."""

    text: str
    praises: bool


def is_held_out(said: str, denied: str) -> bool:
    """Whether this pair of opposites is kept for the test, whichever of them is denied.

    >>> is_held_out("good", "bad") == is_held_out("bad", "good")
    True
    """
    good, bad = (said, denied) if said in GOOD else (denied, said)
    return (GOOD.index(good) + 2 * BAD.index(bad)) % HELD_OUT == 0


def drawn(count: int, seed: int, *, held_out: bool) -> list[Sentence]:
    """Sentences from a seed, half of them praise: with the pairs of the test, or with the others.

    >>> drawn(2, 0, held_out=False)
    [Sentence(text='...', praises=True), Sentence(text='...', praises=False)]
    """
    draw = random.Random(seed)
    sentences: list[Sentence] = []
    while len(sentences) < count:
        praises = len(sentences) % 2 == 0
        asserted, other = (GOOD, BAD) if praises else (BAD, GOOD)
        said, denied, more = draw.choice(asserted), draw.choice(other), draw.choice(asserted)
        template = draw.choice(TEMPLATES)
        both = "{said}" in template and "{denied}" in template
        if (both and is_held_out(said, denied)) != held_out:
            continue
        text = template.format(it=draw.choice(SUBJECTS), said=said, denied=denied, more=more)
        sentences.append(Sentence(text, praises))
    return sentences
