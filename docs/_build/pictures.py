"""The pictures of the site, as SVG and HTML with the site's own colors, light and dark.

`<!-- picture: NAME -->` in a page stands for one. What they show was measured, and kept in files
by `docs._build.ball` and `docs._build.gallery`; here it is drawn, and nothing is computed.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import dist
from typing import Any

from docs._build import ball, charts, drawings

PICTURE = re.compile(r"<!-- picture: (?P<name>[\w ]+) -->")
Place = Sequence[float]
GALLERY = ball.KEPT.parent / "gallery"
HOLD = 14  # steps for which the end of the ball's flight stays


def points(path: Iterable[Place]) -> str:
    return " ".join(f"{100 * x:.1f},{100 * y:.1f}" for x, y in path)


def flight(name: str, path: Sequence[Place], first: int, steps: int) -> str:
    """Keyframes of a ball that is at ``path[i]`` at step ``first + i`` of a loop of ``steps``."""
    frames = [
        f"{100 * (first + i) / steps:.2f}%{{transform:translate({100 * x:.1f}px,{100 * y:.1f}px)}}"
        for i, (x, y) in enumerate(path)
    ]
    x, y = path[-1]
    ends = f"100%{{transform:translate({100 * x:.1f}px,{100 * y:.1f}px)}}"
    x, y = path[0]
    begins = f"0%{{transform:translate({100 * x:.1f}px,{100 * y:.1f}px)}}"
    return f"@keyframes {name}{{{begins}{''.join(frames)}{ends}}}"


def trail(name: str, path: Sequence[Place], first: int, steps: int) -> str:
    """Keyframes of a line that grows with the ball."""
    lengths = [0.0]
    for one, other in pairwise(path):
        lengths.append(lengths[-1] + dist(one, other))
    frames = [
        f"{100 * (first + i) / steps:.2f}%{{stroke-dashoffset:{1 - length / lengths[-1]:.3f}}}"
        for i, length in enumerate(lengths)
    ]
    return f"@keyframes {name}{{0%{{stroke-dashoffset:1}}{''.join(frames)}}}"


def ball_picture() -> str:
    """The flight, with what four networks expect after the frames that they saw."""
    kept = json.loads(ball.KEPT.read_text(encoding="utf-8"))
    true, seen = kept["true"], ball.SEEN
    steps = len(true) + HOLD
    dark = 100 * (seen - 1) / steps
    rules = [
        flight("fly", true, 0, steps),
        f"@keyframes hide{{0%,{dark:.1f}%{{opacity:1}}{dark + 2:.1f}%,100%{{opacity:.35}}}}",
        f"@keyframes show{{0%,{dark:.1f}%{{opacity:0}}{dark + 1:.1f}%,100%{{opacity:1}}}}",
    ]
    shapes = [f'<polyline class="seen" points="{points(true[:seen])}"/>']
    shapes += [
        f'<circle class="ghost" cx="{100 * x:.1f}" cy="{100 * y:.1f}" r="3.4"/>'
        for x, y in true[:seen]
    ]
    shapes.append(f'<polyline class="hidden" points="{points(true[seen - 1 :])}"/>')
    legend = []
    for i, (name, network) in enumerate(kept["networks"].items()):
        path, color = [true[seen - 1], *network["path"]], ball.COLORS[name]
        rules += [
            flight(f"fly{i}", path, seen - 1, steps),
            trail(f"trail{i}", path, seen - 1, steps),
        ]
        x, y = path[-1]
        shapes.append(
            f'<polyline class="trail {color}" pathLength="1" points="{points(path)}" '
            f'style="animation-name:trail{i}"/>'
            f'<g class="show"><circle class="expected {color}" r="2.6" '
            f'style="animation-name:fly{i};transform:translate({100 * x:.1f}px,'
            f'{100 * y:.1f}px)"/></g>'
        )
        legend.append(f'<li><i class="key {color}"></i>{name}: {network["error"]:.1f} % off</li>')
    x, y = true[-1]
    shapes.append(
        f'<g class="fades"><circle class="ball" r="3.4" '
        f'style="transform:translate({100 * x:.1f}px,{100 * y:.1f}px)"/></g>'
    )
    length = f"{steps * 0.17:.1f}s"
    return (
        '<figure class="flight"><input type="checkbox" id="pause-ball">'
        '<svg viewBox="-1 -1 102 102" role="img" aria-label="A ball flies through a box. After ten '
        "frames the networks see nothing more: the LSTM and the GRU follow its path, the simple "
        'network loses it, and the network that sees one frame stays about where it is.">'
        f"<style>.flight svg{{--length:{length}}}{''.join(rules)}</style>"
        f'<rect width="100" height="100"/>{"".join(shapes)}</svg>'
        f'<ul class="legend"><li><i class="key ball"></i>the ball</li>{"".join(legend)}</ul>'
        '<label for="pause-ball"><span class="pause">Pause</span><span class="play">Play</span>'
        "</label></figure>"
    )


def read(name: str) -> Any:
    """What docs._build.gallery kept of a run."""
    return json.loads((GALLERY / f"{name}.json").read_text(encoding="utf-8"))


def made_by(kept: Any) -> str:
    return f"<code>{html.escape(kept['command'])}</code>"


def notes(frames: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, int]]:
    """Key, first frame and length of each note that sounds."""
    for key in sorted({key for frame in frames for key in frame}):
        start = None
        for step, frame in enumerate([*frames, []]):
            if key in frame and start is None:
                start = step
            elif key not in frame and start is not None:
                yield key, start, step - start
                start = None


def music() -> str:
    """A piano roll and its sound."""
    kept = read("music")
    frames, primed = kept["frames"], kept["primed"]
    keys = [key for frame in frames for key in frame]
    low, high = min(keys) - 1, max(keys) + 2
    shapes = [
        f'<line class="lane" x1="0" x2="{len(frames)}" y1="{(high - key) / 2}" '
        f'y2="{(high - key) / 2}"/>'
        for key in range(low, high)
        if key % 12 == 3  # C
    ]
    for key, start, length in notes(frames):
        spans = [(start, min(length, primed - start), "primed")] if start < primed else []
        begin = max(start, primed)
        spans += [(begin, start + length - begin, "composed")] if start + length > begin else []
        shapes += [
            f'<rect class="{kind}" x="{x + 0.06:g}" width="{w - 0.12:g}" height="0.42" '
            f'y="{(high - key) / 2 - 0.46:g}"/>'
            for x, w, kind in spans
        ]
    return (
        f'<figure class="picture"><svg viewBox="0 0 {len(frames)} {(high - low) / 2}" role="img" '
        f'aria-label="A piano roll: the first {primed} frames by Bach, then {len(frames) - primed} '
        f'by the network.">{"".join(shapes)}</svg><div class="ends"><span>by Bach</span>'
        f"<span>composed by the network</span></div>"
        f'<audio controls preload="none" src="gallery:chorale.wav"></audio>'
        f"<figcaption>The first {primed} frames of a test chorale, and how the network goes on; "
        f"lines are at C. {made_by(kept)}</figcaption></figure>"
    )


def forecast() -> str:
    """The end of a series, the forecast with its interval, and what came."""
    kept = read("forecast")
    seen, value = kept["seen"], kept["value"]
    count, top = len(seen) + len(value) - 1, 1.05 * max(*seen, *kept["high"], *kept["truth"])

    def place(i: int, y: float) -> str:
        return f"{100 * i / count:.2f},{50 - 50 * max(0.0, y) / top:.2f}"

    def line(values: Sequence[float], first: int) -> str:
        return " ".join(place(first + i, y) for i, y in enumerate(values))

    ahead = len(seen) - 1
    later = [seen[-1], *value]
    band = f"{line(kept['high'], len(seen))} " + " ".join(
        reversed(line(kept["low"], len(seen)).split())
    )
    return (
        '<figure class="picture"><svg class="wide" viewBox="0 0 100 50" preserveAspectRatio="none" '
        'role="img" aria-label="Sunspots in each year: the past, the forecast with its interval, '
        f'and what came, which lies mostly inside."><polygon class="band" points="{band}"/>'
        f'<polyline class="past" points="{line(seen, 0)}"/>'
        f'<polyline class="truth" points="{line([seen[-1], *kept["truth"]], ahead)}"/>'
        f'<polyline class="one" points="{line(later, ahead)}"/></svg>'
        f'<div class="ends"><span>{kept["first"]}</span><span>{kept["last"]}</span></div>'
        f"<figcaption>Sunspots in a year: what the network saw (line), its forecast (blue) with an "
        f"interval of {kept['interval']:.0%}, and what came (dashed). "
        f"{made_by(kept)}</figcaption></figure>"
    )


def caption() -> str:
    """Images with their captions under them."""
    kept = read("caption")
    items = "".join(
        f'<li><img src="gallery:{one["file"]}" alt="{html.escape(one["caption"], quote=True)}" '
        f'width="160" height="160" loading="lazy">{html.escape(one["caption"])}</li>'
        for one in kept["images"]
    )
    return (
        f'<ul class="scenes">{items}</ul><p class="note">Test images with what the network says of '
        f"them. {made_by(kept)}</p>"
    )


def looking() -> str:
    """Where the decoder of captions looks at each word."""
    kept = read("caption")
    side, items = kept["side"], []
    for word, weights in zip(kept["words"], kept["weights"], strict=True):
        most = max(weights)
        cells = "".join(
            f'<rect class="look" x="{i % side}" y="{i // side}" width="1" height="1" '
            f'opacity="{0.85 * w / most:.2f}"/>'
            for i, w in enumerate(weights)
        )
        items.append(
            f'<li><svg viewBox="0 0 {side} {side}" aria-hidden="true"><image href="gallery:'
            f'{kept["images"][0]["file"]}" width="{side}" height="{side}" opacity=".5"/>'
            f"{cells}</svg>"
            f"{html.escape(word)}</li>"
        )
    return f'<ul class="scenes words">{"".join(items)}</ul>'


def attention() -> str:
    """Where the decoder of a translation looks, as a table of letters and phonemes."""
    kept = read("translate")
    tables = []
    for word in kept["words"]:
        head = "".join(f'<th scope="col">{html.escape(letter)}</th>' for letter in word["source"])
        rows = "".join(
            f'<tr><th scope="row">{html.escape(sound)}</th>'
            + "".join(f'<td style="--w:{100 * w:.0f}%" title="{w:.2f}"></td>' for w in weights)
            + "</tr>"
            for sound, weights in zip(word["target"], word["weights"], strict=True)
        )
        tables.append(
            f'<div class="scroll"><table class="heat"><thead><tr><td></td>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    return (
        f'<figure class="picture">{"".join(tables)}<figcaption>Each phoneme (row) and the letters '
        f"that the decoder looked at for it. {made_by(kept)}</figcaption></figure>"
    )


def sentiment() -> str:
    """Sentences with the probability that they are good."""
    kept = read("classify")
    rows = "\n".join(f"| {one['text']} | {one['positive']:.3f} |" for one in kept["sentences"])
    table = f"| sentence | P(positive) |\n| --- | --- |\n{rows}\n"
    return f'{charts.chart("P(positive)", table)}<p class="note">{made_by(kept)}</p>'


def gradients() -> str:
    """The norm of the gradient by the number of steps before the loss."""
    kept = read("gradients")
    lines, legend = [], []
    low, high = -12.0, 6.0
    for color, (name, norms) in zip(
        ("one", "three", "two", "four"), kept["norms"].items(), strict=True
    ):
        points = " ".join(
            f"{100 * i / (len(norms) - 1):.2f},"
            f"{50 - 50 * (min(max(math.log10(norm), low), high) - low) / (high - low):.2f}"
            for i, norm in enumerate(norms)
            if norm > 0
        )
        lines.append(f'<polyline class="{color}" points="{points}"/>')
        legend.append(f'<i class="key {color}"></i> {html.escape(name)}: {norms[-1]:.1g}')
    one = 50 - 50 * (0 - low) / (high - low)
    return (
        '<figure class="picture chart"><svg class="wide" viewBox="0 0 100 50" '
        'preserveAspectRatio="none" role="img" aria-label="Gradients over fifty steps back: with a '
        'small radius it vanishes, with a large one it explodes.">'
        f'<line class="lane" x1="0" x2="100" y1="{one:.1f}" y2="{one:.1f}"/>{"".join(lines)}</svg>'
        '<div class="ends"><span>at the loss</span><span>50 steps before</span></div>'
        "<figcaption>The gradient relative to that at the loss, from 10<sup>6</sup> (top) to "
        "10<sup>-12</sup> (bottom), of networks of 32 units; after 50 steps it is "
        f"{'; '.join(legend)}. "
        f"{made_by(kept)}</figcaption></figure>"
    )


PICTURES: dict[str, Callable[[], str]] = {
    "ball": ball_picture,
    "music": music,
    "forecast": forecast,
    "caption": caption,
    "looking": looking,
    "attention": attention,
    "sentiment": sentiment,
    "gradients": gradients,
    **drawings.DRAWINGS,
}


def shown(content: str, up: str) -> str:
    """The HTML of a page with its pictures; ``up`` leads from the page to the site's root.

    Raises:
        ValueError: there is no such picture.
    """

    def one(match: re.Match[str]) -> str:
        if match["name"] not in PICTURES:
            raise ValueError(f"a picture must be one of {', '.join(PICTURES)}, got {match['name']}")
        return PICTURES[match["name"]]().replace("gallery:", f"{up}gallery/")

    return PICTURE.sub(one, content)
