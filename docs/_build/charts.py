"""Charts of the tables of the documentation, as HTML that any width, color mode and reader takes.

`<!-- chart: COLUMN; COLUMN | OPTION | OPTION -->` before a table draws these columns as bars, and
puts the table behind a button. So a chart is as true as its table, which a test holds against the
result files. Options: `lower` or `higher` says which is better; `log` draws on a logarithmic scale;
`line=1` draws a line there; `ratio` takes the figure in parentheses; `labels=2` joins that many
columns to a label; `title=TEXT`.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

CHART = re.compile(
    r"<!-- chart: (?P<what>[^>]+?) -->\n\n?(?P<before><!-- table: [^>]+ -->\n)?"
    r"(?P<table>(?:^\|.*\n)+)(?P<after><!-- end -->)?",
    re.MULTILINE,
)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
RATIO = re.compile(r"\((\d[\d.]*)x")
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
COLORS = ("one", "two", "three", "four", "five")


class Options(NamedTuple):
    """What a chart's comment asks for."""

    columns: tuple[str, ...]
    better: str = ""
    log: bool = False
    ratio: bool = False
    line: float | None = None
    labels: int = 1
    title: str = ""


class Bar(NamedTuple):
    """A value of a row, as it stands in the table, and as numbers."""

    series: int
    text: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


def options(what: str) -> Options:
    """The options of a comment.

    Raises:
        ValueError: an option is not known.
    """
    columns, *rest = (part.strip() for part in what.split("|"))
    asked = Options(tuple(column.strip() for column in columns.split(";")))
    for word in rest:
        key, _, value = word.partition("=")
        if key in {"lower", "higher"}:
            asked = asked._replace(better=key)
        elif key in {"log", "ratio"}:
            asked = asked._replace(**{key: True})
        elif key == "line":
            asked = asked._replace(line=float(value))
        elif key == "labels":
            asked = asked._replace(labels=int(value))
        elif key == "title":
            asked = asked._replace(title=value)
        else:
            raise ValueError(f"an option of a chart must be one of those listed, got {word!r}")
    return asked


def rows_of(table: str) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of a Markdown table."""
    lines = [line.strip().strip("|") for line in table.strip().splitlines()]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    head, _, *rows = cells
    return head, rows


def values_of(cell: str, *, ratio: bool) -> tuple[float, ...]:
    """The numbers of a cell: one, or one a seed; what follows a plus-minus sign is left out."""
    if ratio:
        return tuple(map(float, RATIO.findall(cell)))
    found = NUMBER.findall(cell.partition("±")[0].replace(", ", " ; "))
    return tuple(float(number.replace(",", "")) for number in found)


def bars_of(head: list[str], row: list[str], asked: Options) -> Iterator[Bar]:
    for series, column in enumerate(asked.columns):
        if column not in head:
            raise ValueError(f"a chart's column must be one of {head}, got {column!r}")
        cell = row[head.index(column)]
        values = values_of(cell, ratio=asked.ratio)
        if values:
            text = f"{values[0]:g}x" if asked.ratio else CODE.sub(r"\1", cell)
            yield Bar(series, text, values)


def label_of(row: list[str], asked: Options) -> str:
    text = " ".join(row[: asked.labels])
    return CODE.sub(r"<code>\1</code>", html.escape(LINK.sub(r"\1", text)))


def scale(groups: list[tuple[str, list[Bar]]], asked: Options) -> tuple[float, float]:
    """The ends of the axis: from 0, or on a logarithmic scale whole decades."""
    values = [bar.mean for _, bars in groups for bar in bars]
    most = max([*values, asked.line or 0])
    if not asked.log:
        return 0.0, most * 1.02 or 1.0
    least = min(value for value in values if value > 0)
    return float(math.floor(math.log10(least))), float(math.ceil(math.log10(most)))


def chart(what: str, table: str) -> str:
    """The HTML of a chart; nothing where the table has fewer than two values."""
    asked = options(what)
    head, rows = rows_of(table)
    groups = [(label_of(row, asked), list(bars_of(head, row, asked))) for row in rows]
    groups = [(label, bars) for label, bars in groups if bars]
    if len(groups) < 2:
        return ""
    low, high = scale(groups, asked)

    def place(value: float) -> str:
        at = math.log10(value) if asked.log and value > 0 else value
        return f"{100 * max(0.0, (at - low) / (high - low)):.1f}%"

    parts = ['<figure class="chart">', f"<figcaption>{caption(asked)}</figcaption>"]
    line = "" if asked.line is None else f'<i class="line" style="left:{place(asked.line)}"></i>'
    kind = "dot" if asked.log else "bar"
    for label, bars in groups:
        parts.append(f'<div class="group"><span class="label">{label}</span><span class="bars">')
        for bar in bars:
            fill = f'<i class="{kind} {COLORS[bar.series]}" style="--at:{place(bar.mean)}"></i>'
            parts.append(
                f'<span class="track">{line}{fill}</span>'
                f'<span class="value">{html.escape(bar.text)}</span>'
            )
        parts.append("</span></div>")
    return "".join([*parts, "</figure>"])


def caption(asked: Options) -> str:
    """What the bars are, and which are good."""
    several = len(asked.columns) > 1
    names = ", ".join(
        f'<i class="key {COLORS[i]}"></i>{html.escape(name)}' if several else html.escape(name)
        for i, name in enumerate(asked.columns)
    )
    title = f"<strong>{html.escape(asked.title)}</strong> " if asked.title else ""
    notes = [f"{asked.better} is better"] if asked.better else []
    notes += ["logarithmic scale"] if asked.log else []
    notes += [f"the line is at {asked.line:g}"] if asked.line is not None else []
    return f"{title}{names}" + (f" ({'; '.join(notes)})" if notes else "")


def drawn(markdown: str) -> str:
    """The page with its charts, and the table of each behind a button."""

    def one(match: re.Match[str]) -> str:
        picture = chart(match["what"], match["table"])
        table = match["table"]
        if not picture:
            return table
        details = (
            f'<details class="table" markdown="1"><summary>Table</summary>\n\n{table}\n</details>'
        )
        return f"{picture}\n\n{details}\n"

    return CHART.sub(one, markdown)
