"""A whole task over a table is short."""

from __future__ import annotations

from pathlib import Path

from docs._build.blocks import blocks_of

PAGE = Path(__file__).parents[2] / "docs" / "own_task.md"
MOST_LINES = 60


def test_a_task_over_a_table_is_short() -> None:
    blocks = [block.code for block in blocks_of(PAGE.read_text(encoding="utf-8"))]
    (whole,) = (code for code in blocks if "class Stars(Supervised)" in code)
    assert len(whole.strip().splitlines()) <= MOST_LINES
