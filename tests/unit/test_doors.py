"""What a file takes from another one is public, and a class name has one meaning.

A package is entered by its own names or by a module without an underscore. Private modules that
stand beside the packages, such as ``_errors``, are shared by all of them.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import elman

ROOT = Path(elman.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

SHARED_NAMES = {
    "GRU": "a cell, and torch.nn's layer of this name",
    "LSTM": "a cell, and torch.nn's layer of this name",
    "Residual": "around a cell, and around a layer",
}
"""Class names with two meanings, each with the reason."""


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def module(*path: str) -> bool:
    """Whether there is a module, or a package, at this path."""
    return ROOT.joinpath(*path).is_dir() or ROOT.joinpath(*path).with_suffix(".py").is_file()


def closed_doors(file: Path, tree: ast.Module) -> Iterator[str]:
    """The private modules of other packages and the private names of other files it imports."""
    package = file.relative_to(ROOT).parts[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source, names = (node.module or "").split("."), [alias.name for alias in node.names]
            paths = [(*source, name) for name in names]
        elif isinstance(node, ast.Import):
            paths = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for root, *path in paths:
            if root != "elman" or not path:
                continue
            foreign = path[0] != package and any(map(private, path[1:]))
            name = private(path[-1]) and not module(*path)
            if foreign or name:
                yield f"{file.relative_to(ROOT)}: {'.'.join((root, *path))}"


def classes() -> dict[str, set[str]]:
    """The files in which each class name is defined, at the top of a file or deeper.

    A lesson of the lab is a room of its own: nothing imports what it asks and answers.
    """
    homes: dict[str, set[str]] = defaultdict(set)
    for file in SOURCES:
        if file.is_relative_to(ROOT / "lab" / "lessons"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(str(file.relative_to(ROOT)))
    return homes


def test_no_file_takes_what_is_private_to_another() -> None:
    trees = ((file, ast.parse(file.read_text(encoding="utf-8"))) for file in SOURCES)
    assert not [door for file, tree in trees for door in closed_doors(file, tree)]


def test_a_closed_door_is_noticed() -> None:
    file = ROOT / "layers" / "_base.py"
    doors = """
from elman.cells._base import Cell
from elman.engine.runtime import _library
import elman.tasks._task
from elman.layers._compose import _depth
from elman.layers import _compose
from elman._errors import ShapeError, _nearest
from elman.cells import Cell
"""
    assert [door.split(": ")[1] for door in closed_doors(file, ast.parse(doors))] == [
        "elman.cells._base.Cell",
        "elman.engine.runtime._library",
        "elman.tasks._task",
        "elman.layers._compose._depth",
        "elman._errors._nearest",
    ]


def test_a_class_name_has_one_meaning() -> None:
    assert {name for name, homes in classes().items() if len(homes) > 1} == set(SHARED_NAMES)
