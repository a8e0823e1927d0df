"""A lesson as one file: it holds all that it needs, and a browser runs it from the disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from elman import ConfigError
from elman.lab import Ask
from elman.lab import _export as exporting

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STAGE = """
import { half } from "./half.js";

export default async function (lesson) {
  lesson.range({ name: "radius", label: "Radius", min: 0, max: 2, step: 0.1, value: 1 });
  lesson.changed((settings) => lesson.ask("toy.square", settings, (event) => {
    if (event.event === "square") lesson.say(`half of the square is ${half(event.value)}`);
  }));
}
"""
TEXT = {
    "slug": "toy",
    "number": 1,
    "title": "Squares </script><b>",
    "minutes": 1,
    "question": "?",
    "text": {
        "title": "Squares </script><b>",
        "predict": {"question": "?", "choices": ["a", "b"], "right": 0, "answer": "a"},
        "play": "<p>Play.</p>",
        "break": "",
        "cure": "",
        "say": "",
        "goals": {},
        "python": "",
    },
    "asks": [],
}


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    radius: float = Field(1.0, ge=0, le=2)


def square(settings: Settings) -> Iterator[dict[str, object]]:
    yield {"event": "square", "value": settings.radius**2, "never": float("inf")}


ASK = Ask("toy.square", Settings, square, ({}, {"radius": 2}))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """An exported lesson."""
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "stage.js").write_text(STAGE)
    (folder / "half.js").write_text("export const half = (value) => value / 2;\n")
    file = tmp_path / "toy.html"
    file.write_text(exporting.page(TEXT, exporting.recordings((ASK,)), folder))
    return file


def test_recordings_have_all_settings_and_finite_numbers() -> None:
    first, second = exporting.recordings((ASK,))
    assert (first["settings"], second["settings"]) == ({"radius": 1.0}, {"radius": 2.0})
    assert second["events"] == [{"event": "square", "value": 4.0, "never": None}]


def test_a_recording_out_of_bounds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"toy\.square: radius: .*less than or equal to 2"):
        exporting.recordings((ASK._replace(recorded=({"radius": 3},)),))


def test_the_file_names_no_other_file(page: Path) -> None:
    html = page.read_text()
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', html)
    assert all(address.startswith("data:") for address in addresses)
    (modules,) = re.findall(r'<script type="importmap">(.*?)</script>', html, re.DOTALL)
    known = json.loads(modules)["imports"]
    assert {"stage", "stage/half.js", "page/main.js", "page/connection.js"} <= set(known)
    assert len(page.read_bytes()) < exporting.LARGEST


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="needs Chromium")
def test_a_browser_replays_it_from_the_disk(page: Path, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    shown = subprocess.run(
        [
            *(browser, *options, f"--user-data-dir={tmp_path / 'profile'}"),
            *("--virtual-time-budget=5000", "--dump-dom", f"{page.as_uri()}#/toy?radius=2"),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    ).stdout
    assert "half of the square is 2" in shown
    assert "Squares &lt;/script&gt;&lt;b&gt;" in shown


def test_an_unknown_lesson_and_a_large_one_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="unknown lesson 'nothing'"):
        exporting.export(tmp_path, ("nothing",))
    slug = exporting.LESSONS[0][0]
    monkeypatch.setattr(exporting, "LARGEST", 1000)
    monkeypatch.setattr(exporting, "recordings", lambda _: [])
    with pytest.raises(ConfigError, match="at most 1,000 are useful"):
        exporting.export(tmp_path, (slug,))
    assert not list(tmp_path.iterdir())
