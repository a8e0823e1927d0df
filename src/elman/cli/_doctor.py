"""``elman doctor``: what is wrong with a run, and what helps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman.cli._output import Flag, emit, log, number, table
from elman.cli._stages import Stages

if TYPE_CHECKING:
    from elman.diagnosis import Finding, Trial


def doctor(
    run: Path,
    /,
    *,
    try_: Annotated[bool, Parameter(name="--try", negative=(), show_default=False)] = False,
    steps: int | None = None,
    json: Flag = False,
) -> None:
    """Say what is wrong with a run, the figure that shows it, and what to change.

    Parameters
    ----------
    run
        The run folder, such as runs/language-1.
    try_
        Train for a short while with each remedy alone, in RUN/doctor, and say what it did.
    steps
        With --try: updates of each; those of the run, at most 300, unless given.
    json
        One JSON object a line: a finding, a trial, and what is not known at the end.
    """
    from elman.training._run_config import read_config

    read_config(run)  # a mistyped path is named before torch is loaded
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
    trials = try_remedies(run, findings, steps=steps) if try_ and findings else []
    if json:
        for trial in trials:
            emit(_result(trial))
        codes = [finding.code for finding in findings]
        more = {"checked": dict(examination.checked), "unknown": examination.unknown}
        emit({"event": "end", "run": run, "findings": codes, **more})
        return
    if trials:
        print(compared(trials))
    for line in examination.unknown:
        log(f"not known: {line}")


def described(finding: Finding) -> str:
    """A finding with its remedies, a line or more for each."""
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
    """What each remedy came to on the validation data, beside the run as it is."""
    return "\n" + table(_rows(list(trials)))


def _rows(trials: list[Trial]) -> Iterator[list[str]]:
    first = next((name for trial in trials for name in trial.metrics), "score")
    yield ["tried alone", f"valid {first}", ""]
    for trial in trials:
        name = trial.remedy.flags if trial.remedy else "as it is"
        value = number(trial.metrics.get(first)) if trial.metrics else "diverged"
        verdict = "better" if trial.better else "not better"
        yield [name, value, verdict if trial.remedy else ""]


def record(finding: Finding) -> dict[str, object]:
    """A finding as JSON has it."""
    remedies = [
        {**r._asdict(), "flags": r.flags, "without": list(r.without)} for r in finding.remedies
    ]
    return {"event": "finding", **finding._asdict(), "remedies": remedies}


def _result(trial: Trial) -> dict[str, object]:
    flags = trial.remedy.flags if trial.remedy else ""
    return {"event": "trial", **trial._asdict(), "remedy": flags}
