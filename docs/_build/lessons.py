"""The pages of the lessons, from the same text as the lab's, with the lesson itself in a frame.

    python -m docs._build.lessons          # exports the lessons that changed, for the frames

The exported files, in build/lessons, replay what they recorded; a build without them has pages
without frames, so that tests need not compute what lessons do.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path

from docs._build.blocks import ROOT
from latex2mathml.converter import convert

import elman.lab
from elman.lab import LESSONS, lesson
from elman.lab._lesson import SLUGS

LAB = Path(elman.lab.__file__).parent
EXPORTED = ROOT / "build" / "lessons"
CODE = re.compile(r"(```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$([^$\s](?:[^$]*[^$\s])?)\$")
CHOICE = re.compile(r"^- \[[ x]\] ", re.MULTILINE)
GOAL = re.compile(r"^Goal (?:break|cure): (.+)$", re.MULTILINE)
ANSWER = re.compile(r"^Answer:(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def slugs() -> list[str]:
    return [slug for slug, _ in LESSONS]


def frame(slug: str) -> str:
    """The lesson itself, or how to start it."""
    start = f"`elman lab` opens this lesson on your machine, at `#/{slug}`, and computes anew."
    if not (EXPORTED / f"{slug}.html").exists():
        return f"{start}\n"
    title = html.escape(lesson(slug).title, quote=True)
    return (
        f'<iframe class="stage" src="../play/{slug}.html" title="{title}" loading="lazy">'
        "</iframe>\n\n"
        f"This frame replays recorded answers of elman. {start}\n"
    )


def formulas(text: str) -> str:
    """LaTeX between dollars as fences and MathML; code is left alone."""
    parts = CODE.split(text)
    for i in range(0, len(parts), 2):
        part = DISPLAY.sub(lambda m: f"\n\n```math\n{m[1].strip()}\n```\n\n", parts[i])
        fences = CODE.split(part)
        for k in range(0, len(fences), 2):
            fences[k] = INLINE.sub(lambda m: convert(m[1], display="inline"), fences[k])
        parts[i] = "".join(fences)
    return "".join(parts)


def page(slug: str) -> str:
    """The page of a lesson as Markdown."""
    source = (LAB / "lessons" / slug / "lesson.md").read_text(encoding="utf-8")
    source = source.replace("\n## Play\n", f"\n## Play\n\n{frame(slug)}\n", 1)
    source = GOAL.sub(r"**Goal:** \1", CHOICE.sub("- ", source))
    source = ANSWER.sub(_answer, source)
    head, rest = source.split("\n", 1)
    place = slugs().index(slug)
    return f"{head}\n\n{steps(place)}\n{formulas(rest)}"


def _answer(match: re.Match[str]) -> str:
    text = match[1].strip()
    return f'<details markdown="1"><summary>Answer</summary>\n\n{text}\n\n</details>\n\n'


def steps(place: int) -> str:
    """Which lesson this is, and how long it takes."""
    one = lesson(slugs()[place])
    return f'<p class="note">Lesson {one.number} of 12, {one.minutes} minutes.</p>\n'


def cards() -> str:
    """The list of the lessons, each with its question."""
    return "\n".join(
        f"{one.number}. [{one.title}]({slug}.md) ({one.minutes} minutes): {one.question}"
        for slug, one in ((slug, lesson(slug)) for slug in slugs())
    )


def link(slug: str) -> str:
    """A link to a lesson from a page beside it."""
    if slug not in SLUGS:
        raise ValueError(f"a lesson must be one of {', '.join(SLUGS)}, got {slug!r}")
    if slug not in slugs():
        return f"{SLUGS.index(slug) + 1}. {slug}, not written yet"
    return f"[{lesson(slug).number}. {lesson(slug).title}]({slug}.md)"


def _state(slug: str) -> str:
    """What an export is made of, so that an unchanged lesson is not exported again."""
    digest = hashlib.sha256()
    for file in sorted(_sources(slug)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _sources(slug: str) -> Iterator[Path]:
    for folder in (LAB / "lessons" / slug, LAB / "page", LAB):
        files = folder.glob("*") if folder == LAB else folder.rglob("*")
        yield from (f for f in files if f.is_file() and f.suffix != ".pyc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="all unless given")
    for slug in parser.parse_args().lessons or slugs():
        mark, state = EXPORTED / f"{slug}.state", _state(slug)
        if mark.exists() and mark.read_text(encoding="utf-8") == state:
            continue
        print(slug, flush=True)
        [file] = elman.lab.export(EXPORTED, (slug,))
        mark.write_text(state, encoding="utf-8")
        print(f"  {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
