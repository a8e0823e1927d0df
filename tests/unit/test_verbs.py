"""Verbs are functions, also after all modules were imported, which sets names of their spelling."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from inspect import isfunction

import pytest

import elman

VERBS = [
    "compare",
    "convert",
    "diagnose",
    "explain",
    "export",
    "load",
    "report",
    "to_torch",
    "train",
]


@pytest.fixture(scope="module")
def everything() -> list[str]:
    """Every module of the package, imported."""
    names = [m.name for m in pkgutil.walk_packages(elman.__path__, "elman.")]
    names = [name for name in names if not name.endswith(("__main__", "libelman"))]
    for name in names:
        import_module(name)
    return names


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_a_function(verb: str, everything: list[str]) -> None:
    assert isfunction(getattr(elman, verb))
    assert f"elman.{verb}" not in everything
    assert verb in dir(elman)
