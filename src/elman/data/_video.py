"""Videos: folders of images, GIFs, and formats such as MP4 where PyAV is installed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman._errors import DataError
from elman.data import _limits as limits
from elman.data._pillow import check_pixels, opened_image
from elman.data._table import BadRows, BadValue, Record, read_table

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
ANIMATED = {".gif", ".webp"}
DECODED = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}
POSITIONS = "positions.csv"

FINE = 4
"""Positions are measured in frames with this many times the resolution of the network's input."""

MOVES = 0.08
"""Pixels that differ from the video's median by less than this, of 1, are background."""

Frames = NDArray[np.uint8]
Places = NDArray[np.float32]
Reals = NDArray[np.float64]


def is_video(path: Path) -> bool:
    """Whether a path is a folder or has the end of a video's name."""
    return path.is_dir() or path.suffix.lower() in ANIMATED | DECODED


def read_videos(path: Path, size: int, bad: BadRows, *, located: bool = True) -> Iterator[Record]:
    """The videos at a path, each with its "video" (where it is), "frames" and "positions".

    A file is one video. So is a folder of images, in the order of the numbers in their names; a
    folder of neither is searched for videos. Frames are made gray and ``size`` pixels square,
    whatever their shape. A folder of images may have ``positions.csv``: a row for each frame, with
    the columns x and y, or x1, y1, x2, y2 ..., in pixels of the image from its upper left corner.
    Without it the position is that of what moves: the center of all pixels that differ from the
    video's median by more than half of what the most different pixel does.

    Positions are in units of the frame's width and height, with y upwards.

    Args:
        path: a file or a folder.
        size: pixels of a frame's side.
        bad: what to do with a video that cannot be read, or in which nothing moves.
        located: whether to measure positions; otherwise they are None.

    Raises:
        DataError: no video; or Pillow, or PyAV where it is needed, is not installed.
    """
    _need("PIL", "pillow", path)
    videos = list(_videos(path))
    if not videos:
        raise DataError(
            f"{path}: no video: give a GIF, a video file, a folder of images in their order, or a "
            "folder of such folders and files"
        )
    for video in videos:
        with bad.place(str(video)):
            fine, shape = _frames(video, FINE * size)
            frames = fine.reshape(len(fine), size, FINE, size, FINE).mean((2, 4))
            where = _positions(video, shape, len(fine)) if located and video.is_dir() else None
            if located and where is None:
                where = moving(fine)
            yield Record(
                str(video),
                {
                    "video": str(video),
                    "frames": frames.round().astype(np.uint8),
                    "positions": where,
                },
            )


def moving(frames: Frames) -> Places:
    """The position of the one moving object, (steps, 1, 2) in units of the frame, y upwards.

    Raises:
        BadValue: a frame does not differ from the background.

    Example:
        >>> frames = np.zeros((4, 10, 10), np.uint8)
        >>> for step in range(4):
        ...     frames[step, 2, 2 * step + 1] = 255
        >>> moving(frames)[:2]
        array([[[0.15, 0.75]],
        <BLANKLINE>
               [[0.35, 0.75]]], dtype=float32)
    """
    usual = np.median(frames, 0) / 255
    places = [_center(np.abs(frame / 255 - usual), step) for step, frame in enumerate(frames, 1)]
    return np.array(places, np.float32)[:, None]


def _center(different: Reals, step: int) -> tuple[float, float]:
    """The center of the pixels that differ most from the background."""
    most = different.max()
    if most < MOVES:
        raise BadValue("", f"frame {step}: nothing moves: give the positions in {POSITIONS}")
    weight = np.where(different > most / 2, different, 0)
    across, up = ((np.arange(n) + 0.5) / n for n in (weight.shape[1], weight.shape[0]))
    x, y = (weight.sum(0) * across).sum(), (weight.sum(1) * up[::-1]).sum()
    return x / weight.sum(), y / weight.sum()


def _videos(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder: check the path (looked in {Path.cwd()})")
    if not path.is_dir():
        if not is_video(path):
            raise DataError(
                f"{path}: expected a video (a folder of images, "
                f"{', '.join(sorted(ANIMATED | DECODED))}): convert the file"
            )
        yield path
        return
    inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    if any(p.name == POSITIONS or p.suffix.lower() in IMAGES for p in inside):
        yield path
        return
    for p in inside:
        if is_video(p):
            yield from _videos(p)


def _frames(video: Path, side: int) -> tuple[Frames, tuple[int, int]]:
    """The frames, gray (steps, side, side), and the first one's width and height before that."""
    images: Iterator[Any]
    most: float = limits.ANIMATION
    if video.is_dir():
        images, most = (_image(file) for file in _images(video)), math.inf
    elif video.suffix.lower() in DECODED:
        images = _video_frames(video)
        most = max(limits.DECODED, limits.DECODED_RATIO * video.stat().st_size)
    else:
        images = _animation_frames(video)
    frames: list[Frames] = []
    shape, decoded = (0, 0), 0
    for image in images:
        check_pixels(image, limits.FRAME, video.name)
        decoded += image.width * image.height
        if decoded > most or (len(frames) + 1) * side**2 > limits.VIDEO:
            raise BadValue(
                "",
                f"expected a shorter video, got more than {len(frames):,} frames of "
                f"{image.width:,} x {image.height:,}: cut it into several",
            )
        shape = image.size if not frames else shape
        frames.append(np.asarray(image.convert("L").resize((side, side), _box()), np.uint8))
    if not frames:
        raise BadValue("", "expected frames, got none")
    return np.stack(frames), shape


def _box() -> Any:
    from PIL.Image import Resampling

    return Resampling.BOX


def _images(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if not file.name.startswith("."))
    return sorted((f for f in files if f.suffix.lower() in IMAGES), key=lambda f: natural(f.name))


def natural(name: str) -> list[tuple[int, str]]:
    """The sort key of names with numbers.

    >>> sorted(["10.png", "9.png", "1.png"], key=natural)
    ['1.png', '9.png', '10.png']
    """
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)]


def _image(file: Path) -> Any:
    with opened_image(file, f"{file.name} cannot be read as an image") as image:
        check_pixels(image, limits.FRAME, file.name)
        return image.convert("RGB")


def _animation_frames(file: Path) -> Iterator[Any]:
    from PIL import ImageSequence

    with opened_image(file, "cannot be read as a video") as image:
        check_pixels(image, limits.FRAME, file.name)
        for frame in ImageSequence.Iterator(image):
            yield frame.convert("RGB")


def _video_frames(file: Path) -> Iterator[Any]:
    _need("av", "av", file)
    import av

    try:
        with av.open(str(file)) as container:
            for frame in container.decode(video=0):
                check_pixels(frame, limits.FRAME, file.name)
                if frame.is_corrupt:
                    raise BadValue("", f"damaged at {frame.time or 0:.2f} s: write it again")
                yield frame.to_image()  # type: ignore[no-untyped-call]
    except BadValue:
        raise
    except (av.error.FFmpegError, OSError, LookupError, ValueError, MemoryError) as error:
        raise BadValue("", f"cannot be read as a video: {error}") from error


def _positions(folder: Path, shape: tuple[int, int], steps: int) -> Places | None:
    """The positions in positions.csv, in units of the frame."""
    file = folder / POSITIONS
    if not file.exists():
        return None
    bad = BadRows("skip")
    rows = [_numbers(values) for _, values in read_table(file, ["x*", "y*"], bad)]
    if bad.skipped:
        raise BadValue("", bad.skipped[0])
    if len(rows) != steps:
        raise BadValue(
            "", f"{POSITIONS}: expected {steps} rows, as many as frames, got {len(rows)}"
        )
    pixels = np.array(rows, np.float32)
    return np.stack([pixels[:, 0] / shape[0], 1 - pixels[:, 1] / shape[1]], -1)


def _numbers(values: Any) -> Places:
    """X of every ball, then y of every ball: (2, balls)."""
    names = sorted((name for name in values if re.fullmatch(r"[xy]\d*", name)), key=natural)
    try:
        with np.errstate(over="ignore"):
            numbers = np.array([float(values[name]) for name in names], np.float32)
    except ValueError as error:
        raise BadValue("", f"{POSITIONS}: expected a number: {error}") from error
    if len(numbers) % 2 or not np.isfinite(numbers).all():
        raise BadValue("", f"{POSITIONS}: expected a finite x and y for each ball")
    return numbers.reshape(2, -1)


def _need(module: str, package: str, path: Path) -> None:
    if find_spec(module) is None:
        extra = "video" if module == "av" else "data"
        raise DataError(
            f"{path}: needs the package {package}: pip install {package}, "
            f'or pip install "elman[{extra}]"'
        )
