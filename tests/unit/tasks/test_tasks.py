from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from elman import tasks
from elman._errors import ConfigError
from elman.tasks import TASKS, Section, Task, by_name, sections


@pytest.mark.parametrize("name", dict(TASKS))
def test_every_task_is_there_with_its_sections(name: str) -> None:
    task, parts = by_name(name), sections(name)
    assert issubclass(task, Task)
    assert task.name == name
    assert issubclass(parts.data, Section)
    assert issubclass(parts.model, Section)


@pytest.mark.parametrize("name", dict(TASKS))
def test_every_setting_is_described(name: str) -> None:
    for part in sections(name)[:2]:
        assert all(field.description for field in part.model_fields.values())


@pytest.mark.parametrize("look_up", [by_name, sections])
def test_an_unknown_task_is_named_with_the_nearest(look_up: object) -> None:
    assert callable(look_up)
    with pytest.raises(ConfigError, match="unknown task 'languages': did you mean 'language'"):
        look_up("languages")


def test_public_names_are_there() -> None:
    assert all(hasattr(tasks, name) for name in tasks.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tasks.nothing  # noqa: B018


def test_listing_tasks_imports_no_torch() -> None:
    code = "import sys, elman.tasks as t; t.sections('language'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_paths_are_real() -> None:
    for _, path in TASKS:
        module, _, attribute = path.partition(":")
        assert hasattr(import_module(module), attribute)
