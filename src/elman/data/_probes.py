"""Data that test memory: made from a seed, of any length, or small enough to be in a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Rows = Iterator[Mapping[str, Any]]

COPIED, SYMBOLS = 10, 8

COUNTRIES = {
    "France": "French", "Italy": "Italian", "Spain": "Spanish", "Germany": "German",
    "Poland": "Polish", "Greece": "Greek", "Turkey": "Turkish", "Japan": "Japanese",
    "China": "Chinese", "Sweden": "Swedish", "Finland": "Finnish", "Hungary": "Hungarian",
}  # fmt: skip
NEAR = {
    "the clouds are in the": "sky",
    "the fish are in the": "sea",
    "the books are on the": "shelf",
    "the keys are in the": "door",
}
"""Sentences whose end depends on the last few words alone."""

FILLERS = (
    "the weather was mild and the days were long .",
    "my sister played the violin every evening .",
    "we walked to school along the river .",
    "my best friend grew up in {other} .",
    "in summer we often went to {other} by train .",
    "our house had a red door and a small garden .",
    "later i moved to a large city to study .",
    "a neighbor from {other} taught me how to cook .",
)


def adding(rows: int, steps: int, seed: int) -> Rows:
    r"""The sum of the two marked numbers in a long sequence.

    Each step is a number from [0, 1] and a mark; one mark is in the first half, one in the second.
    Guessing 1 has a mean squared error of 1/6.

    References:
        Hochreiter & Schmidhuber 1997, "Long short-term memory", experiment 4;
        Le, Jaitly & Hinton 2015, "A simple way to initialize recurrent networks of ReLUs".
    """
    draw = np.random.default_rng(seed)
    half = steps // 2
    for _ in range(rows):
        series = np.zeros((steps, 2), dtype=np.float32)
        series[:, 0] = draw.random(steps)
        marked = [draw.integers(half), half + draw.integers(steps - half)]
        series[marked, 1] = 1
        yield {"series": series, "target": float(series[marked, 0].sum())}


def copy_memory(rows: int, steps: int, seed: int) -> Rows:
    """Ten symbols, ``steps`` blanks that end in a "go" signal, and then the symbols to reproduce.

    Blanks, followed by symbols at random, have a loss of 10 ln 8 / (steps + 20) nats.

    References:
        Arjovsky, Shah & Bengio 2016, "Unitary evolution recurrent neural networks".
    """
    draw = np.random.default_rng(seed)
    for _ in range(rows):
        symbols = [str(s) for s in draw.integers(1, SYMBOLS + 1, COPIED)]
        blanks = ["_"] * COPIED
        yield {
            "tokens": [*symbols, *["_"] * (steps - 1), "go", *blanks],
            "tags": ["_"] * (COPIED + steps) + symbols,
        }


def delayed_echo(rows: int, steps: int, seed: int) -> Rows:
    """Bits, each to be repeated ``steps`` steps later, and 0 before that."""
    draw = np.random.default_rng(seed)
    for _ in range(rows):
        bits = [str(bit) for bit in draw.integers(0, 2, 4 * steps)]
        yield {"tokens": bits, "tags": [*["0"] * steps, *bits[:-steps]]}


def parity(rows: int, steps: int, seed: int) -> Rows:
    """Up to ``steps`` bits whose number of ones is even or odd.

    A single recurrent unit can tell, but no linear model, nor any network that misses one bit.
    """
    draw = np.random.default_rng(seed)
    for _ in range(rows):
        bits = draw.integers(0, 2, draw.integers(1, steps + 1))
        yield {
            "series": bits.astype(np.float32)[:, None],
            "label": "odd" if bits.sum() % 2 else "even",
        }


def recall(rows: int, steps: int, seed: int) -> Rows:
    """I grew up in France ... and I speak fluent: which language?

    Up to ``steps`` sentences stand in between, some of which name other countries. Every fourth
    row is short instead: "the clouds are in the".
    """
    draw = np.random.default_rng(seed)
    names, short = list(COUNTRIES), list(NEAR)
    for row in range(rows):
        if row % 4 == 3:
            start = short[draw.integers(len(short))]
            yield {"text": start, "label": NEAR[start]}
            continue
        home = names[draw.integers(len(names))]
        middle = _fillers(draw, int(draw.integers(0, steps + 1)), names)
        text = " ".join([f"i grew up in {home} .", *middle, "and i speak fluent"])
        yield {"text": text, "label": COUNTRIES[home]}


def _fillers(draw: np.random.Generator, count: int, names: Sequence[str]) -> list[str]:
    chosen = draw.integers(len(FILLERS), size=count)
    others = draw.integers(len(names), size=count)
    return [FILLERS[c].format(other=names[o]) for c, o in zip(chosen, others, strict=True)]


def digits() -> Rows:
    """Handwritten digits of 8 x 8 pixels, one pixel a step, from left to right and top to bottom.

    References:
        Alpaydin & Kaynak 1998, https://archive.ics.uci.edu/dataset/80
    """
    from sklearn.datasets import load_digits

    dataset = load_digits()
    for pixels, label in zip(dataset.data, dataset.target, strict=True):
        yield {"series": (pixels / 16).astype(np.float32)[:, None], "label": str(label)}


def mnist_1d() -> Rows:
    """Digits as one-dimensional strokes of 40 numbers, stretched, shifted and noisy.

    The last thousand rows are the test set, as in the paper.

    References:
        Graydanus & Kobak 2024, "Scaling down deep learning with MNIST-1D".
    """
    from mnist1d.data import get_dataset_args, make_dataset

    before = np.random.get_state()  # noqa: NPY002 - the package draws from it
    try:
        made = make_dataset(get_dataset_args())
    finally:
        np.random.set_state(before)  # noqa: NPY002
    for x, y, split in (("x", "y", "train"), ("x_test", "y_test", "test")):
        for series, label in zip(made[x], made[y], strict=True):
            yield {
                "series": series.astype(np.float32)[:, None],
                "label": str(label),
                "split": split,
            }
