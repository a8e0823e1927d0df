"""``elman compare TASK``: cells against cells, equal in size and budget, over several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from elman._errors import ConfigError, ElmanError
from elman.cli._output import emit, table
from elman.cli._progress import Report
from elman.cli._progress_many import reporting_many
from elman.cli._report import made
from elman.cli._request import Request, request
from elman.cli._settings import Leaf
from elman.pictures import MISSING, available

if TYPE_CHECKING:
    from elman.comparison import Comparison

LINE = """Train cells on the same data with the same budget, each with several seeds, and compare.

All have as many parameters as the network of the settings has. Settings are those of `elman train`,
for all cells. Ctrl-C saves every run and stops; --resume FOLDER goes on."""
OPTIONS = (
    Leaf("cells", str, "elman,lstm,gru", "what is compared; NAME=CELL where one takes part twice"),
    Leaf("seeds", int, 3, "seeds of each, from train.seed on; a verdict takes three"),
    Leaf(
        "equal",
        Literal["parameters", "hidden"],
        "parameters",
        "solve hidden sizes for equal numbers of parameters, or leave them equal",
    ),
    Leaf(
        "set", list[str], [], "a setting of one alone: NAME:KEY=VALUE, as irnn:model.init=identity"
    ),
    Leaf("jobs", int | None, None, "runs at once; as many as there are processors if unset"),
    Leaf("name", str | None, None, "what the comparison is called; compare-TASK unless given"),
    Leaf("runs", Path, Path("runs"), "where its folder NAME-N is made, with the next free N"),
    Leaf(
        "force", bool, False, "make it NAME-1, in the place of the comparison there once it begins"
    ),
    Leaf("report", bool, False, "also make the page of each cell's first seed, side by side"),
    Leaf("resume", Path | None, None, "go on with the comparison in this folder"),
)


def compare(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Compare cells on a task, equal in size and budget."""
    asked = request("compare", LINE, tokens, OPTIONS)
    if asked is None:
        return
    options = asked.options
    with reporting_many(json=options["json"], quiet=options["quiet"]) as report:
        found = _resumed(asked, report) if options["resume"] else _compared(asked, report)
    file = _page(found) if options["report"] else None
    if options["json"]:
        end = {"event": "end", "comparison": str(found.path), **found.model_dump(mode="json")}
        emit(end | ({"report": file} if file else {}))
    else:
        print("\n".join([summary(found), *([f"report {file}"] if file else [])]))
    if found.failed:
        raise ElmanError(
            "\n".join(["these runs failed, and --resume tries them again:", *found.failed])
        )


def summary(found: Comparison) -> str:
    """The table, what it allows to say, and where all of it is."""
    from elman.comparison import rows
    from elman.comparison._table import baseline_rows

    simple = baseline_rows(found)
    said = found.verdict.sentences if found.verdict else []
    lost = [
        f"{candidate.name}, seed {run.seed}: {run.message}"
        for candidate in found.candidates
        for run in candidate.runs
        if run.status == "diverged"
    ]
    pictures = [f"picture {file}" for file in found.pictures if file.suffix == ".png"]
    if not available():
        pictures.append(MISSING)
    where = f"comparison {found.path} (table.md, table.json)"
    tables = [table(rows(found)), *([table(simple)] if simple else [])]
    return "\n".join([*tables, *said, *lost, where, *pictures])


def _page(found: Comparison) -> Path | None:
    """The page of the first run of each candidate that came to its end."""
    runs = [found.path / each.done[0].run for each in found.candidates if each.done]
    return made(runs, output=found.path / "report") if runs else None


def _plan(asked: Request) -> Any:
    from elman.comparison import Plan

    options = asked.options
    given = {key: options[key] for key in ("seeds", "equal", "jobs")}
    return Plan.parse({**given, "cells": options["cells"].split(","), "changes": options["set"]})


def _compared(asked: Request, report: Report) -> Comparison:
    from elman.comparison import compare as run

    options = asked.options
    return run(
        asked.config,
        _plan(asked),
        directory=Path(options["runs"]),
        name=options["name"],
        force=options["force"],
        report=report,
    )


def _resumed(asked: Request, report: Report) -> Comparison:
    from elman.comparison import load, resume

    path = Path(asked.options["resume"])
    kept = {"resume", "json", "quiet", "jobs", "report"}
    other = [f"--{key}" for key in asked.given.values if key not in kept]
    if other := [*other, *asked.given.words]:
        raise ConfigError(
            f"a comparison that is resumed keeps its settings, got {', '.join(other)}: leave them "
            "out, or start a new one"
        )
    if (task := load(path).task) != asked.task:
        raise ConfigError(f"{path} compares cells on {task}, not on {asked.task}")
    return resume(path, jobs=_plan(asked).jobs, report=report)
