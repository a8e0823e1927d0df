"""The site builds without a warning, and every public name stands in its reference."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from docs._build.blocks import ROOT

import elman

NAMES = [getattr(elman, name) for name in elman.__all__]
MODULES = [elman, *(value for value in NAMES if isinstance(value, ModuleType))]


def public(module: ModuleType) -> set[str]:
    """The names that a module lists, or else those that it defines."""
    own = (
        n
        for n, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
    )
    return set(getattr(module, "__all__", (n for n in own if not n.startswith("_"))))


@pytest.fixture(scope="module")
def anchors(site: Path) -> set[str]:
    """The places of the built reference that can be linked to."""
    pages = (page.read_text(encoding="utf-8") for page in site.glob("reference/*/index.html"))
    return {anchor for page in pages for anchor in re.findall(r'id="(elman[\w.]*)"', page)}


def test_there_is_a_page_for_every_public_module() -> None:
    pages = {page.stem for page in Path(ROOT, "docs/reference").glob("*.md")}
    assert pages == {module.__name__.removeprefix("elman.") for module in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_is_documented(module: ModuleType, anchors: set[str]) -> None:
    names = {f"{module.__name__}.{name}" for name in public(module)}
    if module is elman:
        names -= {m.__name__ for m in MODULES}
    assert names <= anchors
