"""Pictures of motion: frames on top of each other, the true path and those that were expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from elman.pictures import COLORS, Picture

if TYPE_CHECKING:
    from elman.tasks._motion import Motion

TRUE, EXPECTED = COLORS[5], COLORS[4]
STRIP = 6
"""Frames side by side above the paths."""


class Film(NamedTuple):
    """A video: frames, the true path if it is known, how many frames were read, the roll-out."""

    frames: Tensor
    path: Tensor | None
    seen: int
    ahead: Tensor


def films(name: str, videos: Sequence[Film]) -> Picture:
    """A panel for each video."""

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, len(videos), squeeze=False)[0]
        for axes, video in zip(panels, videos, strict=True):
            _panel(axes, video)
        _legend(figure, panels[0])

    return Picture(name, draw, (2.6 * len(videos) + 0.4, 3.3))


def side_by_side(
    tasks: Mapping[str, Motion], split: str = "test", row: int = 0, name: str = "ball"
) -> Picture:
    """The predictions of several trained tasks for the same video, below some of its frames.

    Each panel is titled with its name and its ``rmse`` on the split, in per cent of the box.

    Args:
        tasks: by the names that they are given in the picture; all trained on the same data.
        split: which rows.
        row: which of them.
        name: of the picture's file.
    """
    videos = {}
    for title, task in tasks.items():
        predictions = task.predict(split)
        rmse = task.metrics(predictions)["rmse"]
        videos[f"{title}: {100 * rmse:.2f} %"] = task.film(predictions, row)

    def draw(figure: Any) -> None:
        above, below = figure.subfigures(2, 1, height_ratios=(1, 2.4))
        first = next(iter(videos.values()))
        count = min(first.seen + len(first.ahead), len(first.frames))
        at = torch.linspace(0, count - 1, STRIP).long().tolist()
        for axes, step in zip(above.subplots(1, STRIP), at, strict=True):
            _show(axes, first.frames[step])
            axes.set_title(f"frame {step + 1}" + ("" if step < first.seen else ", hidden"))
        panels = below.subplots(1, len(videos), squeeze=False)[0]
        for axes, (title, video) in zip(panels, videos.items(), strict=True):
            _panel(axes, video)
            axes.set_title(title)
        _legend(below, panels[0])

    return Picture(name, draw, (2.4 * len(videos), 4.9))


def _panel(axes: Any, video: Film) -> None:
    """The frames that were seen as one image, and the paths on top of it."""
    seen = video.seen or len(video.frames)
    _show(axes, _exposed(video.frames[:seen], video.frames.float().median(0).values))
    if video.path is not None:
        for x, y in _lines(video.path[seen - 1 : seen + len(video.ahead)]):
            axes.plot(x, y, color=TRUE, linewidth=3.5, alpha=0.8, label="true path")
    for x, y in _lines(video.ahead):
        style: Any = {"linewidth": 1.2, "marker": "o", "markersize": 3}
        axes.plot(x, y, color=EXPECTED, label="expected path", **style)


def _exposed(frames: Tensor, background: Tensor) -> Tensor:
    """Some frames on one plate, the last the brightest: how far each is from the background."""
    apart = frames[(len(frames) - 1) % 2 :: 2].float() - background
    apart *= torch.linspace(0.15, 0.9, len(apart))[:, None, None]
    return background + apart.gather(0, apart.abs().argmax(0, keepdim=True))[0]


def _show(axes: Any, frame: Tensor) -> None:
    style: Any = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "bilinear"}
    axes.imshow(frame.numpy(), extent=(0, 1, 0, 1), **style)
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    axes.grid(visible=False)


def _lines(path: Tensor) -> list[tuple[Any, Any]]:
    """X and y of each ball on a path (steps, balls, 2)."""
    return [tuple(ball.T.numpy()) for ball in path.unbind(1)]


def _legend(figure: Any, axes: Any) -> None:
    lines = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    style: Any = {"facecolor": "0.25", "frameon": True, "labelcolor": "white"}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=2, **style)
