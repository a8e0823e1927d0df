"""The public names: the list, lazy loading, and what a type checker is told."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import elman

PUBLIC = """
    Bidirectional Dropout GRU GRUCell LSTM LSTMCell RNN RNNCell Recurrent Residual Stack Stream
    compare convert diagnose explain export from_keras load report to_torch train use_engine
    CheckpointError ConfigError DataError Diverged DtypeError ElmanError EngineError Interrupted
    ShapeError
    baselines bptt cells clip comparison data decode diagnosis engine exporting init inspection
    layers metrics nn pictures reporting scan tasks training
"""


def static_names(package: ModuleType) -> set[str]:
    """The names that a type checker sees: what a package imports for it alone, and defines."""
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    names = set()
    for node in tree.body:
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING"), body=imports):
                names |= {alias.asname for each in imports for alias in each.names}  # type: ignore[attr-defined]
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(name)):
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def in_new_process(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_the_list_of_public_names() -> None:
    assert set(elman.__all__) == set(PUBLIC.split())


@pytest.mark.parametrize(
    "package",
    [
        elman,
        elman.comparison,
        elman.data,
        elman.diagnosis,
        elman.inspection,
        elman.reporting,
        elman.tasks,
        elman.training,
    ],
)
def test_a_type_checker_sees_the_same_names(package: ModuleType) -> None:
    assert static_names(package) == set(package.__all__)


@pytest.mark.every
@pytest.mark.parametrize("name", elman.__all__)
def test_every_name_can_be_had(name: str) -> None:
    value = getattr(elman, name)
    assert value.__name__.split(".")[-1] == name
    assert value.__doc__, f"elman.{name} has no docstring"


def public_modules() -> list[str]:
    """Every module and package that can be reached without an underscore, from the files."""
    root = Path(elman.__file__).parent
    files = [file.relative_to(root.parent).with_suffix("") for file in root.rglob("*.py")]
    names = [".".join(file.parts).removesuffix(".__init__") for file in files]
    return sorted(name for name in names if "._" not in name)


def test_completion_shows_public_names_only() -> None:
    assert dir(elman) == sorted(["__version__", *elman.__all__])


@pytest.mark.every
@pytest.mark.parametrize("name", [name for name in public_modules() if name != "elman"])
def test_completion_of_a_module_shows_its_public_names_only(name: str) -> None:
    module = import_module(name)
    assert dir(module) == sorted(module.__all__)
    assert not any(part.startswith("_") for part in dir(module))
    assert not {"Any", "TYPE_CHECKING", "annotations", "import_module"} & set(dir(module))
    assert all(hasattr(module, part) for part in dir(module))


def test_every_public_module_is_looked_at() -> None:
    assert {f"elman.{name}" for name in PUBLIC.split()} & set(public_modules()) == {
        f"elman.{name}" for name in elman.__all__ if inspect.ismodule(getattr(elman, name))
    }


def test_importing_elman_does_not_import_torch() -> None:
    assert in_new_process("import sys, elman; print('torch' in sys.modules)") == "False"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Transformer'"):
        _ = elman.Transformer
