"""Problems from a string to a string, each of one level of the Chomsky hierarchy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Draw = np.random.Generator

MODULUS, PLUS, MINUS, TIMES = 5, 5, 6, 7
POP, END = 2, 2


class Strings(NamedTuple):
    """A batch of one length.

    Attributes:
        inputs: symbols (rows, length).
        outputs: what belongs to them (rows, output length).
        counted: which outputs the accuracy counts (rows, output length); None for all.
    """

    inputs: Ints
    outputs: Ints
    counted: NDArray[np.bool_] | None = None


class Problem(NamedTuple):
    """A problem: how many symbols and classes it has, and what draws a batch of a length.

    ``level`` is regular, deterministic context-free, or context-sensitive.
    """

    level: str
    symbols: int
    classes: int
    sample: Callable[[Draw, int, int], Strings]


def even_pairs(draw: Draw, rows: int, length: int) -> Strings:
    """Whether the number of neighbors that differ is even (0) or odd (1)."""
    bits = draw.integers(0, 2, (rows, length))
    return Strings(bits, (bits[:, 1:] != bits[:, :-1]).sum(1, keepdims=True) % 2)


def parity(draw: Draw, rows: int, length: int) -> Strings:
    """Whether the number of ones is even (0) or odd (1)."""
    bits = draw.integers(0, 2, (rows, length))
    return Strings(bits, bits.sum(1, keepdims=True) % 2)


def cycle_navigation(draw: Draw, rows: int, length: int) -> Strings:
    """Where one is on a ring of 5 places after steps back (0), none (1) and ahead (2)."""
    moves = draw.integers(0, 3, (rows, length))
    return Strings(moves, (moves - 1).sum(1, keepdims=True) % 5)


def modular_arithmetic(draw: Draw, rows: int, length: int) -> Strings:
    """Sums, differences and products of digits modulo 5, products first; the length is odd."""
    length -= 1 - length % 2
    symbols = draw.integers(0, MODULUS, (rows, length))
    symbols[:, 1::2] = draw.integers(PLUS, TIMES + 1, (rows, length // 2))
    total, term = np.zeros(rows, np.int64), symbols[:, 0]
    for operator, digit in zip(symbols[:, 1::2].T, symbols[:, 2::2].T, strict=True):
        is_product = operator == TIMES
        total = np.where(is_product, total, total + term)
        signed = np.where(operator == MINUS, -digit, digit)
        term = np.where(is_product, term * digit, signed) % MODULUS
    return Strings(symbols, (total + term)[:, None] % MODULUS)


def reverse_string(draw: Draw, rows: int, length: int) -> Strings:
    """The last bit first."""
    bits = draw.integers(0, 2, (rows, length))
    return Strings(bits, bits[:, ::-1].copy())


def stack_manipulation(draw: Draw, rows: int, length: int) -> Strings:
    """What is on a stack, from the top, after pops (2) and pushes of 0 (3) and of 1 (4).

    The bits on it at first, from the bottom, stand before the actions. An empty stack stays as it
    is at a pop. Behind the bits of the output stands an end (2), and what follows is not counted.
    """
    first = draw.integers(1, max(length, 2), rows)
    bits, actions = draw.integers(0, 2, (rows, length)), draw.integers(POP, 5, (rows, length))
    symbols = np.where(np.arange(length) < first[:, None], bits, actions)
    each, height = np.arange(rows), np.zeros(rows, np.int64)
    stack = np.zeros((rows, length), np.int64)
    for symbol in symbols.T:
        pushes = symbol != POP
        stack[each[pushes], height[pushes]] = symbol[pushes] % 3
        height = np.where(pushes, height + 1, np.maximum(height - 1, 0))
    steps = np.arange(length + 1)
    places = height[:, None] - 1 - steps
    outputs = np.where(places < 0, 0, np.take_along_axis(stack, np.maximum(places, 0), 1))
    outputs[each, height] = END
    return Strings(symbols, outputs, steps <= height[:, None])


def duplicate_string(draw: Draw, rows: int, length: int) -> Strings:
    """The bits twice."""
    bits = draw.integers(0, 2, (rows, length))
    return Strings(bits, np.concatenate([bits, bits], 1))


def odds_first(draw: Draw, rows: int, length: int) -> Strings:
    """The first, third, fifth ... bit, and then the second, fourth ..."""
    bits = draw.integers(0, 2, (rows, length))
    return Strings(bits, np.concatenate([bits[:, ::2], bits[:, 1::2]], 1))


def bucket_sort(draw: Draw, rows: int, length: int) -> Strings:
    """Digits from 0 to 4 in ascending order."""
    digits = draw.integers(0, 5, (rows, length))
    return Strings(digits, np.sort(digits, 1))


REGULAR, CONTEXT_FREE, SENSITIVE = "regular", "context-free", "context-sensitive"

PROBLEMS: Mapping[str, Problem] = {
    "even-pairs": Problem(REGULAR, 2, 2, even_pairs),
    "modular-arithmetic": Problem(REGULAR, TIMES + 1, MODULUS, modular_arithmetic),
    "parity": Problem(REGULAR, 2, 2, parity),
    "cycle-navigation": Problem(REGULAR, 3, 5, cycle_navigation),
    "stack-manipulation": Problem(CONTEXT_FREE, 5, 3, stack_manipulation),
    "reverse-string": Problem(CONTEXT_FREE, 2, 2, reverse_string),
    "duplicate-string": Problem(SENSITIVE, 2, 2, duplicate_string),
    "odds-first": Problem(SENSITIVE, 2, 2, odds_first),
    "bucket-sort": Problem(SENSITIVE, 5, 5, bucket_sort),
}
