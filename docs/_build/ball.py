"""The ball of the home page: a video that the networks of examples/ball.py were not trained on.

    python -m docs._build.ball     # writes docs/_build/ball.json

The predictions are those in docs/ball.svg, the picture that examples/ball.py drew of the trained
networks; the whole path, with the frames that they saw, is the data set's, which a seed makes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs._build.blocks import ROOT

KEPT = Path(__file__).parent / "ball.json"
PANEL = re.compile(r'<g id="axes_\d+">.*?(?=<g id="axes_|\Z)', re.DOTALL)
LINE = re.compile(r'<g id="line2d_\d+">\s*<path d="([^"]*)"')
PLACE = re.compile(r"[ML] ([\d.]+) ([\d.]+)")
ROW, SEEN = 2, 10
COLORS = {"simple RNN": "two", "LSTM": "three", "GRU": "four", "one frame": "five"}


def panels(svg: str) -> Iterator[tuple[str, float, list[list[tuple[float, float]]]]]:
    """Of each network of the picture its name, its error in per cent, its true and expected path.

    Places are in sides of the box, from its upper left corner.
    """
    for panel in PANEL.findall(svg):
        title = re.search(r">([\w ]+): ([\d.]+) %</text>", panel)
        if title is None:
            continue
        corners = [tuple(map(float, place)) for place in PLACE.findall(panel)[:4]]
        left, top = min(x for x, _ in corners), min(y for _, y in corners)
        side = max(x for x, _ in corners) - left
        lines = [
            [((float(x) - left) / side, (float(y) - top) / side) for x, y in PLACE.findall(path)]
            for path in LINE.findall(panel)[:2]
        ]
        yield title[1], float(title[2]), lines


def made() -> dict[str, Any]:
    """The ball's path, and what the networks expect of it after the frames that they saw."""
    from elman.tasks import Motion
    from elman.training import config_class

    config = config_class("motion").parse({})
    task: Any = Motion.prepare(config.data, config.model)
    path = [(x, 1 - y) for x, y in task.truth(task.part("test")).path[ROW][:, 0].tolist()]
    networks = {}
    for name, error, (true, expected) in panels((ROOT / "docs" / "ball.svg").read_text("utf-8")):
        drawn = path[SEEN - 1 : SEEN - 1 + len(true)]
        pairs = zip(true, drawn, strict=True)
        apart = max(max(abs(p[0] - q[0]), abs(p[1] - q[1])) for p, q in pairs)
        if apart > 0.02:
            raise ValueError(f"the picture's path is {apart:.2f} from the data set's")
        networks[name] = {"error": error, "path": [(round(x, 3), round(y, 3)) for x, y in expected]}
    return {"true": [(round(x, 3), round(y, 3)) for x, y in path], "networks": networks}


if __name__ == "__main__":
    KEPT.write_text(json.dumps(made()) + "\n", encoding="utf-8")
