"""Cells that read something, and what changes it: every kind of thing that a step can read.

A test takes a case from `anew`, so that what it changes is its own.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

from unit.engine.readings import attributes, classes, functions, global_names
from unit.engine.readings._case import Case, stepping

__all__ = ["CASES", "anew", "stepping"]

CASES = {
    name: Path(str(file.__file__))
    for file in (global_names, functions, attributes, classes)
    for name in file.CASES
}
"""The file of each case."""

_numbers = itertools.count()


def anew(case: str) -> Case:
    """A case of its file once more, under a name of its own: torch.compile finds modules by it."""
    name = f"readings_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, CASES[case])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    made: Case = module.CASES[case]()
    return made
