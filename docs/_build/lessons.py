"""The pages of the lessons, from the same text as the lab's, with the lesson itself in a frame.

    python -m docs._build.lessons          # records the lessons whose programs changed, minutes
    python -m docs._build.lessons ball     # this one

What lessons answer is kept in docs/_build/recordings, so that a build computes nothing: the frames
are put together from it and the page of the lab.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

from elman.lab import LESSONS, _export, lesson
from elman.lab._lesson import FOLDER, SLUGS, described

KEPT = Path(__file__).parent / "recordings"
CODE = re.compile(r"(```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$([^$\s](?:[^$]*[^$\s])?)\$")
CHOICE = re.compile(r"^- \[[ x]\] ", re.MULTILINE)
GOAL = re.compile(r"^Goal (?:break|cure): (.+)$", re.MULTILINE)
ANSWER = re.compile(r"^Answer:(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def slugs() -> list[str]:
    return [slug for slug, _ in LESSONS]


def frame(slug: str) -> str:
    """The stage of the lesson, and where else it can be played."""
    start = f"`elman lab` opens this lesson on your machine, at `#/{slug}`, and computes anew."
    title = html.escape(lesson(slug).title, quote=True)
    return (
        f'<iframe class="stage" src="../play/{slug}.html?part=play" title="{title}" loading="lazy">'
        "</iframe>\n\n"
        f"This frame replays recorded answers of elman. {start} "
        f"[The whole lesson as one page](play/{slug}.html).\n"
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
    source = (FOLDER / slug / "lesson.md").read_text(encoding="utf-8")
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
    return f"[{lesson(slug).number}. {lesson(slug).title}]({slug}.md)"


def file_of(slug: str) -> Path:
    return KEPT / f"{slug}.json.gz"


def kept(slug: str) -> dict[str, Any]:
    """What a lesson answered when it was recorded last, and the state of its programs then."""
    if not file_of(slug).exists():
        return {"state": None, "recorded": []}
    text: dict[str, Any] = json.loads(gzip.decompress(file_of(slug).read_bytes()))
    return text


def played(slug: str) -> str:
    """The lesson as one file of HTML, which replays what is kept."""
    return _export.page(described(slug), kept(slug)["recorded"], FOLDER / slug)


def keep(slug: str, state: str) -> None:
    recorded = _export.recordings(lesson(slug).asks)
    text = json.dumps({"state": state, "recorded": recorded}, separators=(",", ":"))
    KEPT.mkdir(exist_ok=True)
    file_of(slug).write_bytes(gzip.compress(text.encode(), mtime=0))


def state_of(slug: str) -> str:
    """What answers are made of: a lesson's programs and data, without its text and its stage."""
    digest = hashlib.sha256()
    for file in sorted((FOLDER / slug).rglob("*")):
        if file.is_file() and file.suffix not in {".js", ".md", ".pyc"}:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="all whose programs changed, unless given")
    names = parser.parse_args().lessons
    unknown = [slug for slug in names if slug not in slugs()]
    if unknown:
        parser.error(f"no lesson {', '.join(unknown)}: choose from {', '.join(slugs())}")
    for slug in names or slugs():
        state = state_of(slug)
        if names or kept(slug)["state"] != state:
            print(slug, flush=True)
            keep(slug, state)
            print(f"  {len(played(slug).encode()):,} bytes in its frame")


if __name__ == "__main__":
    main()
