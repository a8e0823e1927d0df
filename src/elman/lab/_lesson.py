"""Lessons: what they ask of the worker, and their text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from elman._errors import ConfigError, DataError, nearest
from elman._files import read_plain, why
from elman.lab._markdown import render, render_line

FOLDER = Path(__file__).parent / "lessons"
SLUGS = (
    "ball",
    "shapes",
    "network",
    "bptt",
    "gradients",
    "cures",
    "gates",
    "order",
    "race",
    "words",
    "music",
    "limits",
)

LESSONS: tuple[tuple[str, str], ...] = tuple(
    (slug, f"elman.lab.lessons.{slug}:LESSON") for slug in SLUGS
)
"""The slugs of the lessons, in their order, and where to find them."""

SECTIONS = ("Predict", "Play", "Break it", "Cure it", "Say it")


class Ask(NamedTuple):
    """One thing that a page can ask of the worker.

    Attributes:
        name: the slug of the lesson and a word, such as "gradients.flow".
        settings: every setting with its bounds and its default; unknown ones are refused.
        answer: called in the worker with the settings; yields events, each with the key "event".
        recorded: the settings whose events an export holds.
    """

    name: str
    settings: type[BaseModel]
    answer: Callable[[Any], Iterator[dict[str, object]]]
    recorded: tuple[dict[str, object], ...] = ()


class Lesson(NamedTuple):
    """A lesson, whose text is in lesson.md and whose stage is in stage.js, in its folder.

    Attributes:
        slug, number, title: its name in addresses, its place, and its heading.
        minutes: about how long it takes to read and to do.
        question: the question of its first section, in one line.
        asks: what its stage asks of the worker.
    """

    slug: str
    number: int
    title: str
    minutes: int
    question: str
    asks: tuple[Ask, ...]


class Question(NamedTuple):
    """The question of a lesson: HTML of the question, its choices and the answer."""

    question: str
    choices: tuple[str, ...]
    right: int
    answer: str


class LessonText(NamedTuple):
    """The text of a lesson as HTML, by section; ``python`` is its example, as code.

    ``goals`` has what the learner is to reach, under "break" and "cure".
    """

    title: str
    predict: Question
    play: str
    break_: str
    cure: str
    say: str
    goals: Mapping[str, str]
    python: str

    def json(self) -> dict[str, object]:
        """The text for a page."""
        return {
            "title": self.title,
            "predict": {**self.predict._asdict(), "choices": list(self.predict.choices)},
            "play": self.play,
            "break": self.break_,
            "cure": self.cure,
            "say": self.say,
            "goals": dict(self.goals),
            "python": self.python,
        }


def lesson(slug: str) -> Lesson:
    """The lesson of this name.

    Raises:
        ConfigError: there is no such lesson.
    """
    homes = dict(LESSONS)
    if slug not in homes:
        raise ConfigError(f"unknown lesson {slug!r}: {nearest(slug, homes)}")
    module, _, name = homes[slug].partition(":")
    found: Lesson = getattr(import_module(module), name)
    return found


def read_text(slug: str) -> LessonText:
    """The text of a lesson.

    Raises:
        ConfigError: there is no such lesson.
        DataError: its file lacks a part; the message names it.
    """
    lesson(slug)
    return parse_text(FOLDER / slug / "lesson.md")


def described(slug: str) -> dict[str, Any]:
    """A lesson with its text and its asks, for a page."""
    one = lesson(slug)
    asks = [
        {
            "name": ask.name,
            "settings": ask.settings.model_json_schema(),
            "recorded": list(ask.recorded),
        }
        for ask in one.asks
    ]
    return {
        "slug": slug,
        "number": one.number,
        "title": one.title,
        "minutes": one.minutes,
        "question": one.question,
        "text": read_text(slug).json(),
        "asks": asks,
    }


def parse_text(file: Path) -> LessonText:
    """The text in a file of Markdown.

    Raises:
        DataError: the file cannot be read or lacks a part.
    """
    try:
        source = read_plain(file).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {why(error)}") from error
    title, parts = _sections(file, source)
    goals: dict[str, str] = {}
    html = {}
    for name in ("Play", "Break it", "Cure it", "Say it"):
        html[name] = render(_without_goal(parts[name], goals))
    for goal in ("break", "cure"):
        if goal not in goals:
            section = f"{goal.title()} it"
            raise DataError(f"{file}: expected a line 'Goal {goal}: ...' in {section}, got none")
    code = re.search(r"^```python\n(.*?)^```", parts["Say it"], re.MULTILINE | re.DOTALL)
    if code is None:
        raise DataError(f"{file}: expected an example in ```python in Say it, got none")
    return LessonText(
        title,
        _predict(file, parts["Predict"]),
        html["Play"],
        html["Break it"],
        html["Cure it"],
        html["Say it"],
        goals,
        code[1],
    )


def _sections(file: Path, source: str) -> tuple[str, dict[str, str]]:
    """The title, and the Markdown below each second-level heading outside of code."""
    title, parts, name, fenced = "", {}, "", False
    for line in source.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and line.startswith("# "):
            title = line[2:].strip()
        elif not fenced and line.startswith("## "):
            name = line[3:].strip()
            parts[name] = ""
        elif name:
            parts[name] += line + "\n"
    if not title:
        raise DataError(f"{file}: expected a title, '# TITLE', got none")
    if tuple(parts) != SECTIONS:
        there = ", ".join(parts) or "none"
        raise DataError(f"{file}: the sections must be {', '.join(SECTIONS)}, got {there}")
    return title, parts


def _without_goal(markdown: str, goals: dict[str, str]) -> str:
    """The Markdown without its line of a goal, which is put into ``goals``."""

    def note(match: re.Match[str]) -> str:
        goals[match[1]] = render_line(match[2])
        return ""

    return re.sub(r"^Goal (break|cure): (.+)\n", note, markdown, flags=re.MULTILINE)


def _predict(file: Path, markdown: str) -> Question:
    question, found, rest = _split_choices(markdown)
    right = [i for i, (mark, _) in enumerate(found) if mark == "x"]
    if len(found) < 2 or len(right) != 1:
        raise DataError(
            f"{file}: expected two choices or more in Predict, one of them marked '- [x]', "
            f"got {len(found)}, {len(right)} of them marked"
        )
    _, marker, answer = rest.partition("Answer:")
    if not marker or not answer.strip():
        raise DataError(f"{file}: expected a line 'Answer: ...' in Predict, got none")
    choices = tuple(render_line(text) for _, text in found)
    return Question(render(question), choices, right[0], render(answer.strip()))


def _split_choices(markdown: str) -> tuple[str, Sequence[tuple[str, str]], str]:
    """What stands before the choices, each choice with its mark, and what stands after."""
    lines = markdown.splitlines(keepends=True)
    choice = re.compile(r"- (?:\[([ x])\] )?(.+)\n?")
    places = [i for i, line in enumerate(lines) if choice.fullmatch(line)]
    end = next((i for i, line in enumerate(lines) if line.startswith("Answer:")), len(lines))
    places = [i for i in places if i < end]
    if not places:
        return markdown, (), ""
    found = [choice.fullmatch(lines[i]) for i in places]
    pairs = [(match[1] or " ", match[2]) for match in found if match]
    return "".join(lines[: places[0]]), pairs, "".join(lines[end:])
