"""A result as an SVG: for each row, how many times elman's time each peer takes, log scale."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor, log10
from xml.sax.saxutils import escape

from benchmarks.speed._result import Result, Row

LEFT, WIDTH, LINE, TOP = 300, 560, 18, 70
COLORS = ("#4269d0", "#ff725c", "#6cc5b0", "#a463f2", "#efb118", "#9c6b4e", "#ff8ab7", "#97bbf5")


def svg(result: Result) -> str | None:
    """The plot; None if no row has a ratio."""
    rows = [row for row in result.rows if any(row.ratio(peer) for peer in row.peers)]
    if not rows:
        return None
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    ratios = [r for row in rows for peer in row.peers if (r := row.ratio(peer))]
    axis = Axis(min(1.0, *ratios), max(1.0, *ratios))
    height = TOP + LINE * len(rows) + 20
    body = [*_legend(peers), *_grid(axis, height)]
    for number, row in enumerate(rows):
        body += _dots(row, TOP + LINE * number + LINE // 2, peers, axis)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}"',
            f' height="{height}" font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


class Axis:
    """Ratios to the right, from one power of ten to another."""

    def __init__(self, least: float, most: float) -> None:
        self.low = floor(log10(least))
        self.high = max(ceil(log10(most)), self.low + 1)

    def __call__(self, ratio: float) -> float:
        return LEFT + WIDTH * (log10(ratio) - self.low) / (self.high - self.low)

    def ticks(self) -> Iterator[float]:
        for power in range(self.low, self.high):
            yield from (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        yield 10.0**self.high


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(text)}</text>'


def _color(peers: list[str], peer: str) -> str:
    return COLORS[peers.index(peer) % len(COLORS)]


def _legend(peers: list[str]) -> Iterator[str]:
    yield _text(10, 20, "Time of each peer over elman's: to the right of 1, elman is faster")
    for number, peer in enumerate(peers):
        x = LEFT + 110 * number
        yield f'<circle cx="{x}" cy="36" r="5" fill="{_color(peers, peer)}"/>'
        yield _text(x + 9, 40, peer)


def _grid(axis: Axis, height: int) -> Iterator[str]:
    for tick in axis.ticks():
        x, strong = axis(tick), tick == 1
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 14}" '
            f'stroke="{"#333" if strong else "#ddd"}"/>'
        )
        yield _text(x, TOP - 10, f"{tick:g}", ' text-anchor="middle" fill="#666"')


def _dots(row: Row, y: int, peers: list[str], axis: Axis) -> Iterator[str]:
    name = f"{row.title}: {row.shape} {row.cell}{' (noisy)' if row.noisy or row.busy else ''}"
    yield _text(LEFT - 10, y + 4, name, ' text-anchor="end"')
    for peer in row.peers:
        if ratio := row.ratio(peer):
            yield (
                f'<circle cx="{axis(ratio):.1f}" cy="{y}" r="5" fill="{_color(peers, peer)}">'
                f"<title>{escape(peer)} {ratio:.2f}x</title></circle>"
            )
