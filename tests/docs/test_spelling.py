"""American spelling, in names and in prose: one word for one thing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Stems that British English spells otherwise, in halves, so that this file does not hold them.
BRITISH = re.compile(
    "|".join(
        first + second
        for first, second in (
            ("colo", "ur"), ("neighbo", "ur"), ("behavio", "ur"), ("favo", "ur"), ("hono", "ur"),
            ("normali", "s"), ("initiali", "s"), ("optimi", "s"), ("tokeni", "s"),
            ("standardi", "s"), ("randomi", "s"), ("lineari", "s"), ("recogni", "s"),
            ("summari", "s"), ("vectori", "s"), ("regulari", "s"), ("seriali", "s"),
            ("analy", "se[ds]?\\b"), ("cent", "re"), ("licen", "ce"), ("catalog", "ue"),
            ("label", "led"), ("model", "led"), ("cancel", "led(?!Error)"), ("signal", "led"),
            ("gre", "y\\b"),
        )
    ),
    re.IGNORECASE,
)  # fmt: skip
FOLDERS = ("src", "native", "tests", "docs", "scripts", "benchmarks", "examples")
FILES = [
    *(file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*"))),
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
]
TEXTS = {".py", ".md", ".h", ".cpp", ".toml", ".def", ".txt"}


@pytest.mark.parametrize("folder", [*FOLDERS, "."])
def test_american_spelling(folder: str) -> None:
    found = []
    for file in FILES:
        place = file.relative_to(ROOT)
        text = file.suffix in TEXTS or (folder == "scripts" and not file.suffix)
        if not text or not file.is_file() or "build" in place.parts:
            continue
        if (place.parts[0] if len(place.parts) > 1 else ".") != folder:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            found += [f"{place}:{number}: {word}" for word in BRITISH.findall(line)]
    assert not found, "\n".join(found[:40])
