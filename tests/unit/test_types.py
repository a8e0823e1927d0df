"""The glossary covers every letter that the package uses in a shape or for a gate."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import elman
from elman._types import GATES, SHAPES

SOURCES = sorted(Path(elman.__file__).parent.rglob("*.py"))
SHAPE = re.compile(r'(?:Float|Int|Bool|Shaped|Num)\[Tensor, "([^"]*)"\]')


def letters(source: str) -> set[str]:
    """The capitals in shape strings: "B T GH" has B, T, G and H."""
    return {letter for shape in SHAPE.findall(source) for letter in re.findall("[A-Z]", shape)}


def test_every_shape_letter_is_explained() -> None:
    used = {file.name: letters(file.read_text(encoding="utf-8")) for file in SOURCES}
    unknown = {file: found - SHAPES.keys() for file, found in used.items() if found - SHAPES.keys()}
    assert not unknown


@pytest.mark.every
@pytest.mark.parametrize("name", [name for name, _ in elman.cells.CELLS])
def test_every_gate_is_explained(name: str) -> None:
    """By the glossary, or by an equation of the cell's own."""
    cell = elman.cells.by_name(name)
    assert all(
        gate in GATES or f"{gate}_t &=" in str(cell.__doc__) for gate in getattr(cell, "gates", ())
    )
