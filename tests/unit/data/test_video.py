"""Videos from folders, GIFs and MP4s; what cannot be read is named."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from elman import DataError
from elman.data import BadRows, Record, _video, read_videos
from elman.data._ball import Box, fly, render, throw


def filmed(steps: int = 12, size: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Frames (steps, size, size), bytes, and the positions (steps, 1, 2)."""
    box = Box(size=size, speed=0.08)
    path = fly(*throw(np.random.default_rng(seed), 1, box), steps, box)[0][0]
    return (render(path, box) * 255).astype(np.uint8), path


def save_folder(folder: Path, frames: Sequence[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"frame{number}.png")


def save_gif(path: Path, frames: Sequence[np.ndarray]) -> None:
    first, *rest = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=rest, duration=40)


def read(path: Path, action: Any = "error") -> list[Record]:
    return list(read_videos(path, 12, BadRows(action)))


def test_a_folder_is_read_in_the_order_of_numbers_and_the_ball_is_found(tmp_path: Path) -> None:
    frames, path = filmed()
    save_folder(tmp_path / "a", frames)
    (record,) = read(tmp_path / "a")
    assert record.values["frames"].shape == (12, 12, 12)
    coarse = frames.reshape(12, 12, 4, 12, 4).mean((2, 4))
    np.testing.assert_allclose(record.values["frames"], coarse, atol=1)
    np.testing.assert_allclose(record.values["positions"], path, atol=0.015)


def test_a_dark_ball_on_a_bright_wide_ground(tmp_path: Path) -> None:
    frames, path = filmed()
    wide = (255 - 0.8 * np.repeat(frames, 2, axis=2)).astype(np.uint8)
    save_gif(tmp_path / "a.gif", wide)
    (record,) = read(tmp_path)
    np.testing.assert_allclose(record.values["positions"], path, atol=0.02)


def test_positions_are_pixels_from_the_upper_left_corner(tmp_path: Path) -> None:
    save_folder(tmp_path / "a", filmed(3)[0])
    (tmp_path / "a" / "positions.csv").write_text("y2,x1,y1,x2\n" + "48,12,24,0\n" * 3)
    (record,) = read(tmp_path)
    assert record.values["positions"].tolist() == [[[0.25, 0.5], [0.0, 0.0]]] * 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("x,y\n1,2\n", r"a: positions.csv: expected 3 rows, as many as frames, got 1"),
        ("x,y\n1,2\n1,b\n1,2\n", r"a: positions.csv: expected a number: .*'b'"),
        ("x,y\n1,2\n1,nan\n1,2\n", r"a: positions.csv: expected a finite x and y for each ball"),
        ("x,y\n1,2\n1\n1,2\n", r"positions.csv, line 3: expected 2 fields, got 1"),
        ("x1,x2,y1\n1,2,3\n", r"a: positions.csv: expected a finite x and y for each ball"),
    ],
)
def test_positions_that_cannot_be_used(tmp_path: Path, table: str, message: str) -> None:
    save_folder(tmp_path / "a", filmed(3)[0])
    (tmp_path / "a" / "positions.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        read(tmp_path)
    bad = BadRows("skip")
    assert list(read_videos(tmp_path, 12, bad)) == []
    assert len(bad.skipped) == 1


def test_bad_videos_are_named_or_left_out(tmp_path: Path) -> None:
    frames, _ = filmed()
    for name in ("a", "b", "c"):
        save_folder(tmp_path / name, frames)
    (tmp_path / "b" / "frame7.png").write_bytes(b"no image")
    (tmp_path / "d.gif").write_bytes(b"GIF89a, broken")
    save_folder(tmp_path / "e", [frames[0]] * 4)  # nothing moves
    with pytest.raises(DataError, match=r"b: frame7.png cannot be read as an image"):
        read(tmp_path)
    bad = BadRows("skip")
    found = list(read_videos(tmp_path, 12, bad))
    assert [Path(record.place).name for record in found] == ["a", "c"]
    assert "d.gif: cannot be read as a video" in bad.skipped[1]
    assert "e: frame 1: nothing moves" in bad.skipped[2]


def test_where_there_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "missing")
    with pytest.raises(DataError, match=r"no video: give a GIF"):
        read(tmp_path)
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError, match=r"a.csv: expected a video \(a folder of images"):
        read(tmp_path / "a.csv")


def test_mp4(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    frames, path = filmed(size=64)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width = stream.height = 64
        stream.bit_rate = 4_000_000
        for frame in frames:
            image = av.VideoFrame.from_image(Image.fromarray(frame).convert("RGB"))
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    (record,) = read(tmp_path / "a.mp4")
    np.testing.assert_allclose(record.values["positions"], path, atol=0.03)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"b.mp4: cannot be read as a video"):
        read(tmp_path / "b.mp4")


def test_without_a_decoder_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    monkeypatch.setattr(_video, "find_spec", lambda name: None if name == "av" else object())
    with pytest.raises(DataError, match=r"a.mp4: .*needs the package av: .*elman\[video\]"):
        read(tmp_path)
    monkeypatch.setattr(_video, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"needs the package pillow: .*elman\[data\]"):
        read(tmp_path)
