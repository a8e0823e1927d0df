"""``elman compare TASK``: compare cells at equal size and budget over several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from elman._errors import ConfigError, ElmanError
from elman.cells.references import FORMS
from elman.cli._output import emit, table
from elman.cli._progress import Report
from elman.cli._progress_many import reporting_many
from elman.cli._report import make_page
from elman.cli._request import Request, parse_request
from elman.cli._settings import Setting
from elman.pictures import MISSING, available

if TYPE_CHECKING:
    from elman.comparison import Comparison, Design

LINE = """Train several cells with the same data, budget and seeds, and compare them.

All networks get the number of parameters of the configured one. The settings
of `elman train` apply to every cell. Ctrl-C saves all runs and stops; --resume
FOLDER continues."""
OPTIONS = (
    Setting(
        "cells",
        str,
        "elman,lstm,gru",
        f"cells to compare, each {FORMS}; NAME=CELL to use one twice",
    ),
    Setting(
        "seeds", int, 3, "seeds per cell, counted from train.seed; a significance test needs 3"
    ),
    Setting(
        "equal",
        Literal["parameters", "hidden"],
        "parameters",
        "match the number of parameters, or use the same hidden size",
    ),
    Setting(
        "set",
        list[str],
        [],
        "a setting of one cell: NAME:KEY=VALUE, such as irnn:model.init=identity",
    ),
    Setting("jobs", int | None, None, "runs to train in parallel (default: one per processor)"),
    Setting("name", str | None, None, "name of the comparison (default: compare-TASK)"),
    Setting(
        "runs",
        Path,
        Path("runs"),
        "directory for the folder NAME-N, where N is the next free number",
    ),
    Setting(
        "force", bool, False, "write to NAME-1, replacing that comparison once training starts"
    ),
    Setting("report", bool, False, "also write an HTML report of the first seed of each cell"),
    Setting("resume", Path | None, None, "continue the comparison in this folder"),
)


def compare(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Compare cells on a task at equal size and budget."""
    request = parse_request("compare", LINE, tokens, OPTIONS)
    if request is None:
        return
    options = request.options
    with reporting_many(json=options["json"], quiet=options["quiet"]) as report:
        comparison = _resumed(request, report) if options["resume"] else _compared(request, report)
    file = _page(comparison) if options["report"] else None
    if options["json"]:
        end = {
            "event": "end",
            "comparison": str(comparison.path),
            **comparison.model_dump(mode="json"),
        }
        emit(end | ({"report": file} if file else {}))
    else:
        print("\n".join([summary(comparison), *([f"report {file}"] if file else [])]))
    if comparison.failed:
        raise ElmanError(
            "\n".join(["these runs failed; --resume runs them again:", *comparison.failed])
        )


def summary(comparison: Comparison) -> str:
    """The tables, the verdict, the runs that diverged, and the files."""
    from elman.comparison import baseline_rows, rows

    simple = baseline_rows(comparison)
    sentences = comparison.verdict.sentences if comparison.verdict else []
    lost = [
        f"{candidate.name}, seed {run.seed}: {run.message}"
        for candidate in comparison.candidates
        for run in candidate.runs
        if run.status == "diverged"
    ]
    pictures = [f"picture {file}" for file in comparison.pictures if file.suffix == ".png"]
    if not available():
        pictures.append(MISSING)
    where = f"comparison {comparison.path} (table.md, table.json)"
    tables = [table(rows(comparison)), *([table(simple)] if simple else [])]
    return "\n".join([*tables, *sentences, *lost, where, *pictures])


def _page(comparison: Comparison) -> Path | None:
    """The report of the first finished run of each candidate."""
    runs = [comparison.path / each.done[0].run for each in comparison.candidates if each.done]
    return make_page(runs, output=comparison.path / "report") if runs else None


def _design(request: Request) -> Design:
    from elman.comparison import Design

    options = request.options
    shared = {key: options[key] for key in ("seeds", "equal", "jobs")}
    return Design.parse({**shared, "cells": options["cells"].split(","), "changes": options["set"]})


def _load_cells(design: Design) -> None:
    """Execute the files of the cells that the user names."""
    from elman.cells import resolve

    for reference in design.references():
        if ":" in reference:
            resolve(reference)


def _compared(request: Request, report: Report) -> Comparison:
    from elman.comparison import compare as run

    options, design = request.options, _design(request)
    _load_cells(design)
    return run(
        request.config,
        design,
        directory=Path(options["runs"]),
        name=options["name"],
        force=options["force"],
        report=report,
    )


def _resumed(request: Request, report: Report) -> Comparison:
    from elman.comparison import load, resume

    path = Path(request.options["resume"])
    kept = {"resume", "json", "quiet", "jobs", "report", "cells"}
    other = [f"--{key}" for key in request.arguments.values if key not in kept]
    if other := [*other, *request.arguments.words]:
        raise ConfigError(
            f"a resumed comparison keeps its settings, got {', '.join(other)}: leave them out, "
            "or start a new comparison"
        )
    comparison, design = load(path), _design(request)
    if comparison.task != request.task:
        raise ConfigError(f"{path} is a comparison on {comparison.task}, not on {request.task}")
    cells = {candidate.cell for candidate in comparison.candidates}
    strange = set(design.candidates().values()) - cells
    if "cells" in request.arguments.values and strange:
        raise ConfigError(
            f"--cells must be among those of {path}, {', '.join(sorted(cells))}, got "
            f"{', '.join(sorted(strange))}"
        )
    _load_cells(design)
    return resume(path, jobs=design.jobs, report=report)
