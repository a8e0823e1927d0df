"""``elman doctor``: diagnose a run and suggest remedies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman.cli._cells import CellFlag, TrustFlag, own_cells
from elman.cli._output import Flag, emit, log, number, table
from elman.cli._stages import Stages

if TYPE_CHECKING:
    from elman.diagnosis import Examination, Finding, Trial


def doctor(
    run: Path,
    /,
    *,
    try_: Annotated[bool, Parameter(name="--try", negative=(), show_default=False)] = False,
    steps: int | None = None,
    cell: CellFlag = None,
    trust: TrustFlag = False,
    json: Flag = False,
) -> None:
    """Diagnose a run: each problem, the measurement that shows it, and what to change.

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    try_
        Train briefly with each remedy on its own, in RUN/doctor, and compare the results.
    steps
        With --try: updates per trial (default: as many as the run had, at most 300).
    json
        Print one JSON object per line: findings, trials, and an end with what is unknown.
    """
    from elman.training import read_config

    read_config(run)  # a mistyped path is named before torch is loaded
    with own_cells([run], cell, trust=trust):
        examination, trials = _examined(run, try_=try_, steps=steps, json=json)
    if json:
        for trial in trials:
            emit(_result(trial))
        codes = [finding.code for finding in examination.findings]
        more = {"checked": dict(examination.checked), "unknown": examination.unknown}
        emit({"event": "end", "run": run, "findings": codes, **more})
        return
    if trials:
        print(compared(trials))
    for line in examination.unknown:
        log(f"unknown: {line}")


def _examined(
    run: Path, *, try_: bool, steps: int | None, json: bool
) -> tuple[Examination, list[Trial]]:
    """The diagnosis, whose findings are printed before the trials of their remedies begin."""
    with Stages() as stages:
        stages("loading elman")
        from elman.diagnosis import diagnose, try_remedies

        examination = diagnose(run, stage=stages)
    findings = examination.findings
    for finding in findings:
        emit(record(finding)) if json else print(described(finding))
    if not findings and not json:
        print("no problems found; checked:")
        print("\n".join(f"  {measurement}" for measurement in examination.checked))
    return examination, try_remedies(run, findings, steps=steps) if try_ and findings else []


def described(finding: Finding) -> str:
    """A finding and its remedies as text."""
    lines = [f"{finding.code}  {finding.problem}", f"  {finding.figure}"]
    for place, remedy in enumerate(finding.remedies, 1):
        without = f" without {' '.join(remedy.without)}" if remedy.without else ""
        flags = f": {remedy.flags}{without}" if remedy.changes else ""
        lines += [
            f"  {place}. {remedy.what}{flags}",
            *([f"     {remedy.reference}"] if remedy.reference else []),
        ]
    return "\n".join(lines)


def compared(trials: Iterable[Trial]) -> str:
    """A table of the validation score of each trial, with the unchanged run for reference."""
    return "\n" + table(_rows(list(trials)))


def _rows(trials: list[Trial]) -> Iterator[list[str]]:
    first = next((name for trial in trials for name in trial.metrics), "score")
    yield ["trial", f"valid {first}", ""]
    for trial in trials:
        name = trial.remedy.flags if trial.remedy else "unchanged"
        value = number(trial.metrics.get(first)) if trial.metrics else "diverged"
        verdict = "better" if trial.better else "not better"
        yield [name, value, verdict if trial.remedy else ""]


def record(finding: Finding) -> dict[str, object]:
    """A finding as a JSON object."""
    remedies = [
        {**r._asdict(), "flags": r.flags, "without": list(r.without)} for r in finding.remedies
    ]
    return {"event": "finding", **finding._asdict(), "remedies": remedies}


def _result(trial: Trial) -> dict[str, object]:
    flags = trial.remedy.flags if trial.remedy else ""
    return {"event": "trial", **trial._asdict(), "remedy": flags}
