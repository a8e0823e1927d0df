"""``elman report``: a page of one run, or of several side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman._errors import CheckpointError, ConfigError
from elman.cli._doctor import record
from elman.cli._output import Flag, emit, log
from elman.cli._stages import Stages


def report(
    run: Path,
    /,
    *more: Path,
    text: str | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    json: Flag = False,
) -> None:
    """Make one self-contained page of HTML of a run, or of several side by side.

    Parameters
    ----------
    run
        The run folder. Where `elman flow` has not looked inside, that is done first.
    more
        Other runs, to be set beside it: a simple RNN, an LSTM and a GRU, for one.
    text
        A sentence whose words the gates are shown at, in all of them.
    output
        The folder for report.html and its figures; RUN/report unless given.
    json
        One JSON object instead of lines.
    """
    file = make_page([run, *more], text=text, output=output)
    emit({"event": "end", "report": file}) if json else print(f"report {file}")


def make_page(runs: Iterable[Path], *, text: str | None = None, output: Path | None = None) -> Path:
    """The page's file, after looking inside where that has not been done for this text."""
    from elman.training._run_config import read_config

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
            log(f"{error}; that is done now")
            measures = None
        if measures is None or (text is not None and measures.text != text):
            try:
                measure(path, text, figures=False, stage=stages)
            except (CheckpointError, ConfigError) as error:
                if text is not None:
                    raise
                stages.end()
                log(f"{path}: without a look inside: {error}")
        try:
            examination = diagnose(path, stage=stages)
            findings[str(path)] = [record(finding) for finding in examination.findings]
            checked[str(path)] = dict(examination.checked)
        except (CheckpointError, ConfigError) as error:
            stages.end()
            log(f"{path}: not examined: {error}")
    stages("drawing the page")
    return make_report(paths, output, findings=findings, checked=checked)
