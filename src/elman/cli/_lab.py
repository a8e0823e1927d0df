"""``elman lab``: lessons, a sandbox and a view of runs, in the browser."""

from __future__ import annotations

import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman._errors import ConfigError
from elman.cli._output import Flag, log

NEEDS = ("fastapi", "latex2mathml", "markdown_it", "uvicorn", "websockets")
"""Modules of the extra ``lab``."""


def lab(
    *runs: Path,
    port: int = 8777,
    no_open: Flag = False,
    export: Annotated[Path | None, Parameter(name="--export")] = None,
    no_code: Flag = False,
    cell: str | None = None,
) -> None:
    """Open lessons, a sandbox and your runs in the browser.

    The page is served on this machine only, until Ctrl-C.

    Parameters
    ----------
    runs
        Run folders to show beside those in runs/.
    port
        The port to serve on; 0 for a free one.
    no_open
        Print the address, and do not open it.
    export
        Write each lesson as one HTML file into this folder instead.
    no_code
        Refuse code that is typed into the page.
    cell
        Your own cell, FILE.py:Class, which is executed.
    """
    require_extra()
    from elman.training import read_config

    for run in runs:
        read_config(run)
    if export is not None:
        from elman.lab import export as write

        for file in write(export):
            print(file)
        return
    from elman.lab import serve

    def ready(address: str) -> None:
        log(f"elman lab: {address}")
        log("Ctrl-C ends it")
        if not no_open:
            webbrowser.open(address)

    serve(runs, port=port, cell=cell or "", code=not no_code, ready=ready)


def require_extra() -> None:
    """Check that the packages of the lab are installed.

    Raises:
        ConfigError: one is not.
    """
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f'the lab needs {", ".join(missing)}: install its packages, pip install "elman[lab]"'
        )
