"""Metrics of translations, also by the length of the source, and pictures of the attention."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from elman import metrics as measure
from elman.pictures import Picture
from elman.tasks._task import Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANGES = 8
"""Ranges of lengths that a report looks at, about so many."""

References = Sequence[Sequence[str]]
"""For each row its correct translations."""

ByLength = Mapping[tuple[int, int], tuple[int, Metrics]]
"""By the first and last length of a group: its number of rows, and their metrics."""


class Alignment(NamedTuple):
    """The tokens of a source and of its translation, and the attention (target, source)."""

    source: list[str]
    target: list[str]
    weights: Tensor


def measured(aim: str, texts: Sequence[str], references: References) -> Metrics:
    """The metric of ``aim``, and the share of exact matches."""
    exact = measure.exact_match(texts, references)
    match aim:
        case "bleu":
            return {"bleu": measure.bleu(texts, references).score, "exact_match": exact}
        case "phoneme_error":
            variants = [[text.split() for text in several] for several in references]
            error = measure.error_rate([text.split() for text in texts], variants)
            return {"phoneme_error": error, "exact_match": exact}
    return {"exact_match": exact}


def by_length(lengths: Sequence[int], measures: Callable[[list[int]], Metrics]) -> ByLength:
    """For each range of lengths, first and last, its number of rows and their metrics.

    Ranges are equally wide; the last also has the longest 2 % of the rows.

    >>> by_length([1, 2, 1, 9], lambda rows: {"mean": sum(rows) / len(rows)})
    {(1, 1): (2, {'mean': 1.0}), (2, 9): (2, {'mean': 2.0})}
    """
    low, top = min(lengths), max(lengths)
    usual = sorted(lengths)[(98 * (len(lengths) - 1)) // 100]
    width = max(1, -(-(usual - low + 1) // RANGES))
    groups = {}
    for first in range(low, usual + 1, width):
        last = first + width - 1 if first + width <= usual else top
        if here := [row for row, length in enumerate(lengths) if first <= length <= last]:
            groups[first, last] = len(here), measures(here)
    return groups


def plots(aim: str, groups: ByLength, alignments: Sequence[Alignment]) -> list[Picture]:
    """The metric by the length of the source; and the attention, if there is any."""
    pictures = [Picture("by-length", partial(_draw_lengths, aim, groups))]
    if alignments:
        pictures.append(attention("attention", alignments))
    return pictures


def attention(name: str, alignments: Sequence[Alignment]) -> Picture:
    """The attention of one translation, or of several side by side."""
    size = (9.0, 8.0) if len(alignments) > 1 else (5.5, 4.5)
    return Picture(name, partial(_draw_alignments, alignments), size)


def file_name(text: str) -> str:
    """A name for the picture of a text: its letters and digits, and a number that tells it apart.

    >>> file_name("Der Hund, er schläft!")
    'der-hund-er-schläft-65f7d1c2'
    """
    words = re.findall(r"\w+", text.lower())
    return f"{'-'.join(words)[:40] or 'text'}-{zlib.crc32(text.encode()):08x}"


def _draw_lengths(aim: str, groups: ByLength, figure: Figure) -> None:
    axes = figure.subplots()
    names = [f"{a}-{b}" if b > a else str(a) for a, b in groups]
    values = [metrics[aim] for _, metrics in groups.values()]
    axes.plot(range(len(names)), values, marker="o")
    axes.set_xticks(range(len(names)), names)
    for at, (value, (rows, _)) in enumerate(zip(values, groups.values(), strict=True)):
        axes.annotate(
            f"{rows:,}", (at, value), (0, 6), textcoords="offset points", ha="center", size=7
        )
    axes.set(xlabel="tokens of the source (at each point: rows)", ylabel=aim.replace("_", " "))
    axes.set_ylim(0, 1.15 * max([*values, 1e-6]))


def _draw_alignments(alignments: Sequence[Alignment], figure: Figure) -> None:
    """A square for each pair of tokens, darker for a larger weight."""
    columns = min(2, len(alignments))
    grid = figure.subplots(-(-len(alignments) // columns), columns, squeeze=False)
    for axes in grid.flat[len(alignments) :]:
        axes.set_axis_off()
    for axes, each in zip(grid.flat, alignments, strict=False):
        axes.imshow(each.weights.numpy(), vmin=0, vmax=1, aspect="auto", cmap="Blues")
        axes.set_xticks(range(len(each.source)), each.source, rotation=90)
        axes.set_yticks(range(len(each.target)), each.target)
        axes.grid(visible=False)
        axes.tick_params(labelsize=7)
