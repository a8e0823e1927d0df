"""The README and the pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?:(?P<note>not run: .+?)|needs: (?P<needs>\w+)) -->\n\n?)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    language: str
    code: str
    line: int  # of the page, where the code begins
    run: bool
    needs: str | None  # a package that elman does without


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page.

    ``<!-- not run: why -->`` before one keeps it from running, ``<!-- needs: package -->`` does
    where that is not installed.
    """
    return [
        Block(
            match["language"],
            match["code"],
            text.count("\n", 0, match.start("code")) + 1,
            match["note"] is None,
            match["needs"],
        )
        for match in BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[str]:
    """The shell commands of a block, with lines that end in a backslash joined."""
    joined = block.code.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
