"""What keeps the source small: no long file, no long function, no name that says nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import elman

ROOT = Path(elman.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))


def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code: a docstring may be as long as it is useful."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1


@pytest.mark.every
@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 500
    long = {node.name: body_lines(node) for node in functions(file) if body_lines(node) > 60}
    assert not long


def test_no_file_is_named_for_nothing() -> None:
    assert not {"utils.py", "helpers.py", "misc.py", "common.py"} & {file.name for file in SOURCES}


LONGEST_CHAIN = 3


def ancestors(name: str, parents: dict[str, set[str]]) -> int:
    """How many of our own classes stand above each other, this one included."""
    above = [ancestors(parent, parents) for parent in parents[name] if parent in parents]
    return 1 + max(above, default=0)


def test_inheritance_is_shallow() -> None:
    """Things are put together; a class of ours has at most two of ours above it."""
    parents: dict[str, set[str]] = {}
    for file in Path(elman.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                names = {base.id for base in node.bases if isinstance(base, ast.Name)}
                parents.setdefault(node.name, set()).update(names - {node.name})
    deep = {name for name in parents if ancestors(name, parents) > LONGEST_CHAIN}
    assert not deep
    assert ancestors("ClassifyData", parents) == LONGEST_CHAIN  # it would see one more
