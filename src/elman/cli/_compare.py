"""``elman compare TASK``: cells against cells, equal in size and budget, over several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from elman._errors import ConfigError, ElmanError
from elman.cli._output import emit, table
from elman.cli._progress import Report
from elman.cli._progress_many import reporting_many
from elman.cli._report import make_page
from elman.cli._request import Request, parse_request
from elman.cli._settings import Setting
from elman.pictures import MISSING, available

if TYPE_CHECKING:
    from elman.comparison import Comparison

LINE = """Train cells on the same data with the same budget, each with several seeds, and compare.

All have as many parameters as the network of the settings has. Settings are those of `elman train`,
for all cells. Ctrl-C saves every run and stops; --resume FOLDER goes on."""
OPTIONS = (
    Setting(
        "cells", str, "elman,lstm,gru", "what is compared; NAME=CELL where one takes part twice"
    ),
    Setting("seeds", int, 3, "seeds of each, from train.seed on; a verdict takes three"),
    Setting(
        "equal",
        Literal["parameters", "hidden"],
        "parameters",
        "solve hidden sizes for equal numbers of parameters, or leave them equal",
    ),
    Setting(
        "set", list[str], [], "a setting of one alone: NAME:KEY=VALUE, as irnn:model.init=identity"
    ),
    Setting("jobs", int | None, None, "runs at once; as many as there are processors if unset"),
    Setting("name", str | None, None, "what the comparison is called; compare-TASK unless given"),
    Setting("runs", Path, Path("runs"), "where its folder NAME-N is made, with the next free N"),
    Setting(
        "force", bool, False, "make it NAME-1, in the place of the comparison there once it begins"
    ),
    Setting("report", bool, False, "also make the page of each cell's first seed, side by side"),
    Setting("resume", Path | None, None, "go on with the comparison in this folder"),
)


def compare(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Compare cells on a task, equal in size and budget."""
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
            "\n".join(["these runs failed, and --resume tries them again:", *comparison.failed])
        )


def summary(comparison: Comparison) -> str:
    """The table, what it allows to say, and where all of it is."""
    from elman.comparison import rows
    from elman.comparison._table import baseline_rows

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
    """The page of the first run of each candidate that came to its end."""
    runs = [comparison.path / each.done[0].run for each in comparison.candidates if each.done]
    return make_page(runs, output=comparison.path / "report") if runs else None


def _design(request: Request) -> Any:
    from elman.comparison import Design

    options = request.options
    shared = {key: options[key] for key in ("seeds", "equal", "jobs")}
    return Design.parse({**shared, "cells": options["cells"].split(","), "changes": options["set"]})


def _compared(request: Request, report: Report) -> Comparison:
    from elman.comparison import compare as run

    options = request.options
    return run(
        request.config,
        _design(request),
        directory=Path(options["runs"]),
        name=options["name"],
        force=options["force"],
        report=report,
    )


def _resumed(request: Request, report: Report) -> Comparison:
    from elman.comparison import load, resume

    path = Path(request.options["resume"])
    kept = {"resume", "json", "quiet", "jobs", "report"}
    other = [f"--{key}" for key in request.arguments.values if key not in kept]
    if other := [*other, *request.arguments.words]:
        raise ConfigError(
            f"a comparison that is resumed keeps its settings, got {', '.join(other)}: leave them "
            "out, or start a new one"
        )
    if (task := load(path).task) != request.task:
        raise ConfigError(f"{path} compares cells on {task}, not on {request.task}")
    return resume(path, jobs=_design(request).jobs, report=report)
