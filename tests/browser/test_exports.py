"""Lessons as single files: opened from a disk, and in the frames of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sampling
from browser.conftest import Visit
from elman.lab import LESSONS

pytestmark = pytest.mark.timeout(900)


def shows_something(visit: Visit) -> None:
    """The stage of a lesson, once what starts it was pressed, where there is such a button."""
    start = visit.page.locator(".panel > button.primary")
    if start.count():
        start.first.click()
    visit.page.wait_for_selector(".lesson.begun .chart:not(.empty), .lesson.begun .box canvas")
    assert visit.page.inner_text(".trouble") == ""


@pytest.mark.parametrize("slug", sampling.cases([slug for slug, _ in LESSONS], 1))
def test_an_exported_lesson_opens_from_its_file_alone(
    browser: Any, tmp_path: Path, slug: str
) -> None:
    from elman.lab import export

    (file,) = export(tmp_path, (slug,))
    assert file.stat().st_size <= 1.5e6
    context = browser.new_context(offline=True)
    visit = Visit(context, file.as_uri())
    visit.go("")
    visit.page.click("text=Begin without a guess")
    visit.page.wait_for_selector(".lesson.begun .chart, .lesson.begun .stage canvas")
    shows_something(visit)
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith(("file:", "data:"))] == []
    context.close()


@pytest.mark.parametrize("slug", [slug for slug, _ in LESSONS])
def test_a_frame_has_the_stage_and_reaches_the_goals_without_the_text(
    browser: Any, tmp_path: Path, slug: str
) -> None:
    """What the documentation embeds: its page has the question and the text around it."""
    from docs._build import lessons

    (tmp_path / "lesson.html").write_text(lessons.played(slug), encoding="utf-8")
    context = browser.new_context(offline=True, viewport={"width": 690, "height": 690})
    visit = Visit(context, (tmp_path / "lesson.html").as_uri() + "?part=play")
    visit.page.goto(visit.address)
    visit.page.wait_for_selector(".lesson.begun .chart, .lesson.begun .stage canvas")
    assert visit.page.locator(".goal").count() == 2
    assert visit.page.locator(".text > :not(.goal), .top:visible").count() == 0
    sliders = visit.page.locator("input[type=range]:not(:disabled)")
    assert all(slider.get_attribute("max") != "0" for slider in sliders.all())
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 690
    shows_something(visit)
    for goal in ("break", "cure"):
        visit.page.click(f".goal[data-goal={goal}] button")
        visit.page.wait_for_selector(f".goal[data-goal={goal}].reached")
    assert visit.complaints == []
    context.close()
