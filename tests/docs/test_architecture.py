"""The diagram of docs/architecture.md is the import contract of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def contract() -> list[set[str]]:
    """The layers that import-linter checks, from the top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [set(re.findall(r"\w+", layer)) for layer in layers]


def test_the_diagram_is_the_contract() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    diagram = re.search(r"```text\n(__main__.*?)```", page, re.DOTALL)
    assert diagram is not None
    lines = [line for line in diagram[1].splitlines() if not line.startswith("---")]
    assert [set(re.split(r" \| ", line.split("  ")[0])) for line in lines] == contract()


def test_the_network_is_below_the_workbench() -> None:
    """What the page draws below its line, the contract has below data."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    below = page.partition("below this line")[2].partition("```")[0]
    assert "cells" in below
    assert "data" not in re.findall(r"^(\w+(?: \| \w+)*)", below, re.MULTILINE)
