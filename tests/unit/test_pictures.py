"""Pictures are drawn alike every time, and say what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elman import pictures
from elman._errors import ConfigError
from elman.pictures import Picture, save, save_dark

LINE = Picture("line", lambda figure: figure.subplots().plot([1, 3, 2]))


def test_a_picture_is_a_png_and_an_svg_with_words_as_words(tmp_path: Path) -> None:
    def draw(figure: Any) -> None:
        figure.subplots().set(title="the gradient through time")

    png, svg = save([Picture("flow", draw)], tmp_path / "new")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "the gradient through time" in svg.read_text(encoding="utf-8")
    assert sorted(file.name for file in png.parent.iterdir()) == ["flow.png", "flow.svg"]


def test_letters_that_the_font_lacks_are_kept_as_text(tmp_path: Path) -> None:
    japanese = Picture("names", lambda figure: figure.subplots().set(title="赤いハート"))
    _, svg = save([japanese], tmp_path)
    assert "赤いハート" in svg.read_text(encoding="utf-8")


def test_the_same_picture_is_the_same_bytes(tmp_path: Path) -> None:
    once, again = save([LINE], tmp_path / "1"), save([LINE], tmp_path / "2")
    assert [f.read_bytes() for f in once] == [f.read_bytes() for f in again]


def test_in_the_dark_ink_is_light_and_there_is_no_ground(tmp_path: Path) -> None:
    from matplotlib.image import imread

    def darkest(file: Path) -> float:
        pixels = imread(file)
        return float((pixels[..., :3].max(-1) + (1 - pixels[..., 3])).min())

    (file,) = save_dark([LINE], tmp_path)
    assert file.name == "line-dark.png"
    assert imread(file)[0, 0, 3] == 0
    assert darkest(save([LINE], tmp_path)[0]) < 0.1
    assert darkest(file) > 0.4  # the line's own blue


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"elman\[pictures\]"):
        save([LINE], tmp_path)
