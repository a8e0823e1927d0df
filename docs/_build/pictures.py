"""The pictures of the site, as SVG and HTML with the site's own colors, light and dark.

`<!-- picture: NAME -->` in a page stands for one. What they show was measured, and kept in files
by `docs._build.ball` and `docs._build.gallery`; here it is drawn, and nothing is computed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import dist
from typing import Any

from docs._build import ball

PICTURE = re.compile(r"<!-- picture: (?P<name>[\w ]+) -->")
Place = Sequence[float]
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
        rules += [flight(f"fly{i}", path, seen - 1, steps), trail(f"trail{i}", path, seen - 1, steps)]
        x, y = path[-1]
        shapes.append(
            f'<polyline class="trail {color}" pathLength="1" points="{points(path)}" '
            f'style="animation-name:trail{i}"/>'
            f'<g class="show"><circle class="expected {color}" r="2.6" '
            f'style="animation-name:fly{i};transform:translate({100 * x:.1f}px,{100 * y:.1f}px)"/></g>'
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


PICTURES: dict[str, Callable[[], str]] = {"ball": ball_picture}


def shown(content: str, pictures: dict[str, Callable[[], str]] = PICTURES) -> str:
    """The HTML of a page with its pictures.

    Raises:
        ValueError: there is no such picture.
    """

    def one(match: re.Match[str]) -> str:
        if match["name"] not in pictures:
            raise ValueError(f"a picture must be one of {', '.join(pictures)}, got {match['name']}")
        return pictures[match["name"]]()

    return PICTURE.sub(one, content)


def read(name: str) -> Any:
    """What docs._build.gallery kept of a run."""
    return json.loads((ball.KEPT.parent / "gallery" / f"{name}.json").read_text(encoding="utf-8"))
