"""``elman cell``: the cells that there are, and a cell of your own."""

from __future__ import annotations

import inspect
import keyword
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from elman._errors import ConfigError
from elman._files import replacing
from elman.cli._cell_check import check
from elman.cli._cell_template import CELL, TEST
from elman.cli._output import Flag, emit

if TYPE_CHECKING:
    from elman.testing import CellFacts

app = App(name="cell")
app.command(check)


@app.command(name="list")
@app.default
def list_(*, json: Flag = False) -> None:
    """List every cell: year, states, gates, parameters a unit, kind, and the engine that runs it.

    A cell is dense if a unit's next state depends on other units, elementwise if not, and linear
    if, besides, it is linear in the last state. Formulas have I input features and H units.

    Parameters
    ----------
    json
        Print one JSON object per line.
    """
    from elman.cells import by_name, references
    from elman.testing import cell_engine, cell_facts

    names = references.names()
    facts = {name: cell_facts(by_name(name)) for name in names}
    rows = [["name", "year", "states", "gates", "parameters", "kind"]]
    rows += [[name, *_columns(each)] for name, each in facts.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if not json:
        print("  ".join(map(str.ljust, rows[0], widths)) + "  runs on", flush=True)
    for name, row in zip(names, rows[1:], strict=True):  # a trace takes a while: row by row
        engine, why_not = cell_engine(by_name(name))
        if json:
            more = {"engine": engine, "why_not_native": why_not}
            emit({**facts[name]._asdict(), "name": name, "class": facts[name].name, **more})
        else:
            print("  ".join(map(str.ljust, row, widths)) + f"  {engine}", flush=True)


def _columns(facts: CellFacts) -> list[str]:
    year = str(facts.year or "")
    return [year, " ".join(facts.states), " ".join(facts.gates), facts.parameters, facts.kind]


@app.command
def show(name: str, /, *, json: Flag = False) -> None:
    """Print the equations and the source of a cell.

    Parameters
    ----------
    name
        A name of `elman cell list`, or FILE.py:Class or package.module:Class, which is executed.
    json
        Print one JSON object.
    """
    from elman.cells import resolve
    from elman.cells.options import options_of
    from elman.testing import cell_facts

    kind = resolve(name)
    text = inspect.cleandoc(kind.__doc__ or f"{kind.__name__} has no docstring")
    source = Path(inspect.getsourcefile(kind) or "").read_text(encoding="utf-8")
    options = {o.name: o.default for o in options_of(kind).values() if o.default is not o.empty}
    if json:
        facts = cell_facts(kind)._asdict()
        emit({**facts, "options": options, "docstring": text, "source": source})
        return
    listed = ", ".join(f"{option} = {default!r}" for option, default in options.items())
    print(f"{text}\n\nOptions: {listed or 'none'}\n\n{source.rstrip()}")


@app.command
def new(name: str, /, *, force: Flag = False, json: Flag = False) -> None:
    """Write a commented cell, NAME.py, and its test, test_NAME.py, to begin with.

    Parameters
    ----------
    name
        The name of the file; that of the class is NAME with a capital letter.
    force
        Replace files of these names.
    json
        Print one JSON object.
    """
    _require_free(name)
    label = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    files = {Path(f"{name}.py"): CELL, Path(f"test_{name}.py"): TEST}
    for file in files:
        if file.exists() and not force:
            raise ConfigError(f"{file}: this file exists: choose another name, or add --force")
    for file, text in files.items():
        with replacing(file) as target:
            target.write(text.replace("MODULE", name).replace("CLASS", label).encode())
    cell, test = map(str, files)
    if json:
        emit({"event": "end", "cell": cell, "test": test, "reference": f"{cell}:{label}"})
        return
    print(f"cell {cell}\ntest {test}\nnext: elman cell check {cell}:{label}")


def _require_free(name: str) -> None:
    """Refuse a name that is no module's, or is another module's."""
    if not name.isidentifier() or keyword.iskeyword(name) or not name.strip("_"):
        raise ConfigError(f"NAME must be a Python identifier, such as leaky, got {name!r}")
    beside = Path(f"{name}.py").exists()
    if name in sys.stdlib_module_names or (not beside and find_spec(name) is not None):
        raise ConfigError(f"NAME must not be that of an installed module, got {name!r}")
