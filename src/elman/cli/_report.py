"""``elman report``: an HTML report of one run, or of several side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman._errors import CheckpointError, ConfigError
from elman.cli._cells import CellFlag, TrustFlag, own_cells
from elman.cli._doctor import record
from elman.cli._output import Flag, emit, log
from elman.cli._stages import Stages


def report(
    run: Path,
    /,
    *more: Path,
    text: str | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    cell: CellFlag = None,
    trust: TrustFlag = False,
    json: Flag = False,
) -> None:
    """Write a self-contained HTML report of one run, or of several side by side.

    Parameters
    ----------
    run
        The run folder. Runs without measures from `elman flow` are measured first.
    more
        Other runs to show beside it, for example with other cells.
    text
        A text to record the gates of all runs on.
    output
        Folder for report.html and its figures (default: RUN/report).
    json
        Print one JSON object.
    """
    with own_cells([run, *more], cell, trust=trust):
        file = make_page([run, *more], text=text, output=output)
    emit({"event": "end", "report": file}) if json else print(f"report {file}")


def make_page(runs: Iterable[Path], *, text: str | None = None, output: Path | None = None) -> Path:
    """Write the report and return its file; runs not yet measured on this text are measured."""
    from elman.training import read_config

    paths = list(runs)
    for path in paths:
        read_config(path)  # a mistyped path is named before torch is loaded
    with Stages() as stages:
        return _make_page(paths, text, output, stages)


def _make_page(paths: list[Path], text: str | None, output: Path | None, stages: Stages) -> Path:
    stages("loading elman")
    from elman.diagnosis import diagnose
    from elman.reporting import Measures, measure
    from elman.reporting import report as make_report

    findings, checked = {}, {}
    for path in paths:
        try:
            measures = Measures.load(path)
        except CheckpointError as error:
            stages.end()
            log(f"{error}; measuring again")
            measures = None
        if measures is None or (text is not None and measures.text != text):
            try:
                measure(path, text, figures=False, stage=stages)
            except (CheckpointError, ConfigError) as error:
                if text is not None:
                    raise
                stages.end()
                log(f"{path}: not measured: {error}")
        try:
            examination = diagnose(path, stage=stages)
            findings[str(path)] = [record(finding) for finding in examination.findings]
            checked[str(path)] = dict(examination.checked)
        except (CheckpointError, ConfigError) as error:
            stages.end()
            log(f"{path}: no diagnosis: {error}")
    stages("writing the report")
    return make_report(paths, output, findings=findings, checked=checked)
