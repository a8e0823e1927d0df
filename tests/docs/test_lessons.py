"""The frames of the lessons: what they replay is what the lessons say is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from docs._build import lessons

import sampling
from elman.lab import _export, lesson
from elman.lab._protocol import read_settings

QUICK = ("gates.tank", "network.step", "shapes.criteria")
"""Asks that are answered at once."""


def asked(slug: str) -> list[tuple[str, dict[str, Any]]]:
    """The settings in full that a lesson says are recorded, by the name of the ask."""
    made = []
    for ask in lesson(slug).asks:
        for settings in ask.recorded:
            checked = read_settings(ask.settings, settings)
            assert not isinstance(checked, list), checked
            made.append((ask.name, checked.model_dump(mode="json")))
    return made


@pytest.mark.parametrize("slug", lessons.slugs())
def test_a_frame_has_what_its_lesson_says_is_recorded(slug: str) -> None:
    kept = [(entry["name"], entry["settings"]) for entry in lessons.kept(slug)["recorded"]]
    assert kept == asked(slug), f"the lesson was changed: python -m docs._build.lessons {slug}"
    page = lessons.played(slug)
    assert len(page.encode()) <= _export.LARGEST
    assert 'src="http' not in page


def entries() -> list[dict[str, Any]]:
    kept = [entry for slug in lessons.slugs() for entry in lessons.kept(slug)["recorded"]]
    return [entry for entry in kept if entry["name"] in QUICK]


def test_what_is_kept_is_what_the_lesson_answers() -> None:
    kept = entries()
    assert {entry["name"] for entry in kept} == set(QUICK)
    for entry in sampling.cases(kept, 4):
        asks = {ask.name: ask for ask in lesson(entry["name"].partition(".")[0]).asks}
        again = _export.recording(asks[entry["name"]], entry["settings"])
        for now, then in zip(again["events"], entry["events"], strict=True):
            assert json.dumps(shape(now)) == json.dumps(shape(then))
            assert numbers(now) == pytest.approx(numbers(then), rel=1e-3, abs=1e-6)


def shape(value: Any) -> Any:
    """An answer without its numbers."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return 0 if isinstance(value, float) else value


def numbers(value: Any) -> list[float]:
    """The numbers of an answer, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, float) else []
