"""The README and the pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a reader has at hand: some text of their own.
TEXT = (
    "the cat sat on the mat and the dog lay on the log .\nthis morning i took my cat for a walk .\n"
)
BLOCK = re.compile(
    r"(?:^<!-- (?:not run: (?P<note>.+?)|needs: (?P<needs>\w+)) -->\n\n?)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
CONTINUED = re.compile(r" *\\\n *")


class Block(NamedTuple):
    language: str
    code: str
    line: int  # of the page, where the code begins
    note: str | None  # why it is not run
    needs: str | None  # a package that elman does without
    end: int  # of the block, in characters

    @property
    def run(self) -> bool:
        return self.note is None


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
            match["note"],
            match["needs"],
            match.end(),
        )
        for match in BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[str]:
    """The shell commands of a block, with lines that end in a backslash joined."""
    joined = CONTINUED.sub(" ", block.code)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
