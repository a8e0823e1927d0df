"""``elman lab``: lessons, a sandbox and a view of runs, in the browser."""

from __future__ import annotations

import subprocess
import sys
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Annotated
from urllib.parse import quote

from cyclopts import Parameter

from elman._errors import ConfigError
from elman.cli._output import Flag, log
from elman.cli._progress import Event, Report

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
    require_file(cell)
    from elman.lab import serve

    def ready(address: str) -> None:
        shown = f"{address}#/run/{quote(runs[0].resolve().name)}" if runs else address
        log(f"elman lab: {shown}")
        log("Ctrl-C ends it")
        if not no_open:  # a browser in the terminal would not return
            Thread(target=webbrowser.open, args=(shown,), daemon=True).start()

    serve(runs, port=port, cell=cell or "", code=not no_code, ready=ready)


class LabBeside:
    """Reports events, and opens the run in a lab of its own process once it trains.

    Args:
        report: what else is called with each event.
        cell: the user's own cell, or None.
    """

    def __init__(self, report: Report, cell: str | None) -> None:
        require_extra()
        self._report, self._cell = report, cell
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, event: Event) -> None:
        if event["event"] == "start" and self._process is None:
            cell = ["--cell", self._cell] if self._cell and ":" in self._cell else []
            self._process = subprocess.Popen(
                [sys.executable, "-m", "elman", "lab", event["run"], "--port", "0", *cell],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the training, which saves
            )
        self._report(event)

    def wait(self) -> None:
        """Keep the lab open until Ctrl-C."""
        if self._process:
            log("the lab stays open until Ctrl-C")
            with suppress(KeyboardInterrupt):
                self._process.wait()

    def close(self) -> None:
        """End the lab."""
        if self._process:
            self._process.terminate()
            self._process.wait()


def require_file(cell: str | None) -> None:
    """Check that the file of the user's own cell is there, before anything is served.

    Raises:
        ConfigError: it is not.
    """
    file, colon, name = (cell or "").rpartition(":")
    if cell is not None and not (colon and name.isidentifier() and Path(file).is_file()):
        raise ConfigError(f"--cell must be FILE.py:Class of a file that exists, got {cell}")


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
