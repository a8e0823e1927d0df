"""``elman data list``: the named data sets."""

from __future__ import annotations

from cyclopts import App

from elman.cli._output import Flag, emit, installed

app = App(name="data")


def _missing(extra: str) -> str:
    return f'is not installed: pip install "elman[{extra}]"'


@app.command(name="list")
@app.default
def list_(*, json: Flag = False) -> None:
    """List the named data sets, for ``--data NAME``, and whether their packages are installed.

    Parameters
    ----------
    json
        Print one JSON object per line.
    """
    from elman.data import CATALOG

    for data in CATALOG:
        there = installed(data.package) if data.package else "no package needed"
        if json:
            fields = {k: v for k, v in data._asdict().items() if k not in ("lines", "rows", "made")}
            emit({**fields, "installed": there})
            continue
        print(f"{data.name}  {data.summary}\n  size     {data.size}\n  license  {data.license}")
        print(f"  tasks    {', '.join(data.tasks)}\n  source   {data.source}")
        print(f"  package  {data.package} {there or _missing(data.extra)}")
