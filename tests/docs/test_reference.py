"""The site builds without a warning, and every public name stands in its reference."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import elman
from docs.blocks import ROOT

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
def anchors(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The places of the built reference that can be linked to."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
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
