"""How good translations are, by the length of the source, and where the decoder looked."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from elman import metrics as measure
from elman.pictures import Picture
from elman.tasks._base import Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANGES = 8
"""Ranges of lengths that a report looks at, about so many."""

Right = Sequence[Sequence[str]]
"""For each row the translations that are right."""


class Look(NamedTuple):
    """A source, what was said of it, and where each token of that looked: (said, source)."""

    source: list[str]
    said: list[str]
    weights: Tensor


def measured(aim: str, said: Sequence[str], right: Right) -> Metrics:
    """What a run is judged by, first, and the share that is right to the letter."""
    exact = sum(one in several for one, several in zip(said, right, strict=True)) / len(said)
    match aim:
        case "bleu":
            return {"bleu": measure.bleu(said, right).score, "exact_match": exact}
        case "phoneme_error":
            variants = [[text.split() for text in several] for several in right]
            error = measure.error_rate([text.split() for text in said], variants)
            return {"phoneme_error": error, "exact_match": exact}
    return {"exact_match": exact}


def by_length(
    lengths: Sequence[int], measures: Callable[[list[int]], Metrics]
) -> dict[tuple[int, int], tuple[int, Metrics]]:
    """For each range of lengths, first and last, its number of rows and their measures.

    Ranges are equally wide; the last takes what is longer than 98 of 100 rows.

    >>> by_length([1, 2, 1, 9], lambda rows: {"mean": sum(rows) / len(rows)})
    {(1, 1): (2, {'mean': 1.0}), (2, 9): (2, {'mean': 2.0})}
    """
    low, top = min(lengths), max(lengths)
    usual = sorted(lengths)[(98 * (len(lengths) - 1)) // 100]
    width = max(1, -(-(usual - low + 1) // RANGES))
    found = {}
    for first in range(low, usual + 1, width):
        last = first + width - 1 if first + width <= usual else top
        if here := [row for row, length in enumerate(lengths) if first <= length <= last]:
            found[first, last] = len(here), measures(here)
    return found


def pictures(
    aim: str, found: Mapping[tuple[int, int], tuple[int, Metrics]], looks: Sequence[Look]
) -> list[Picture]:
    """The aim by the length of the source; and the attention, if there is any."""
    drawn = [Picture("by-length", partial(_draw_lengths, aim, found))]
    if looks:
        drawn.append(attention("attention", looks))
    return drawn


def attention(name: str, looks: Sequence[Look]) -> Picture:
    """Where the tokens of one translation, or of several side by side, looked."""
    return Picture(name, partial(_draw_looks, looks), (9.0, 8.0) if len(looks) > 1 else (5.5, 4.5))


def file_name(text: str) -> str:
    """A name for the picture of a text: its letters and digits, and a number that tells it apart.

    >>> file_name("Der Hund, er schläft!")
    'der-hund-er-schläft-65f7d1c2'
    """
    words = re.findall(r"\w+", text.lower())
    return f"{'-'.join(words)[:40] or 'text'}-{zlib.crc32(text.encode()):08x}"


def _draw_lengths(
    aim: str, found: Mapping[tuple[int, int], tuple[int, Metrics]], figure: Figure
) -> None:
    axes = figure.subplots()
    names = [f"{a}-{b}" if b > a else str(a) for a, b in found]
    values = [metrics[aim] for _, metrics in found.values()]
    axes.plot(range(len(names)), values, marker="o")
    axes.set_xticks(range(len(names)), names)
    for at, (value, (rows, _)) in enumerate(zip(values, found.values(), strict=True)):
        axes.annotate(
            f"{rows:,}", (at, value), (0, 6), textcoords="offset points", ha="center", size=7
        )
    axes.set(xlabel="tokens of the source (at each point: rows)", ylabel=aim.replace("_", " "))
    axes.set_ylim(0, 1.15 * max([*values, 1e-6]))


def _draw_looks(looks: Sequence[Look], figure: Figure) -> None:
    """A square for each pair of tokens, the darker the more the one looked at the other."""
    columns = min(2, len(looks))
    grid = figure.subplots(-(-len(looks) // columns), columns, squeeze=False)
    for axes in grid.flat[len(looks) :]:
        axes.set_axis_off()
    for axes, look in zip(grid.flat, looks, strict=False):
        axes.imshow(look.weights.numpy(), vmin=0, vmax=1, aspect="auto", cmap="Blues")
        axes.set_xticks(range(len(look.source)), look.source, rotation=90)
        axes.set_yticks(range(len(look.said)), look.said)
        axes.grid(visible=False)
        axes.tick_params(labelsize=7)
