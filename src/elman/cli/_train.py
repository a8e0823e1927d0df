"""``elman train TASK``: train a model and compare it with the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman._errors import ConfigError
from elman.cli._cells import TRUST, own_cells
from elman.cli._output import metrics_table
from elman.cli._progress import Report, reporting
from elman.cli._request import Request, from_flags, parse_request
from elman.cli._settings import Setting
from elman.pictures import MISSING, available

if TYPE_CHECKING:
    from elman.cli._lab import LabBeside
    from elman.training import Result

LINE = """Train a model in a new run folder, and evaluate it.

Flags override environment variables (ELMAN_MODEL_HIDDEN=256), which override
--config FILE, which overrides the defaults. Ctrl-C, SIGTERM and SIGHUP save
and stop; --resume RUN continues."""
OPTIONS = (
    Setting("name", str | None, None, "run name (default: the task)"),
    Setting(
        "runs",
        Path,
        Path("runs"),
        "directory for the run folder NAME-N, where N is the next free number",
    ),
    Setting("force", bool, False, "write to NAME-1, replacing that run once training starts"),
    Setting("resume", Path | None, None, "continue this run; only --train.X settings may change"),
    Setting("trust", bool, False, f"with --resume: {TRUST}"),
    Setting("lab", bool, False, "open the run in the browser while it trains, see `elman lab`"),
)


def train(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Train a model on your files or on a named data set."""
    request = parse_request("train", LINE, tokens, OPTIONS)
    if request is None:
        return
    options = request.options
    if options["trust"] and not options["resume"]:
        raise ConfigError("--trust is for --resume RUN: a new run executes what --model.cell names")
    lab: LabBeside | None = None
    try:
        with reporting(json=options["json"], quiet=options["quiet"]) as report:
            lab = _lab(request, report) if options["lab"] else None
            run = _resumed if options["resume"] else _trained
            result = run(request, lab or report)
        if not options["json"]:
            print(summary(result))
        if lab:
            lab.wait()
    finally:
        if lab:
            lab.close()


def _lab(request: Request, report: Report) -> LabBeside:
    from elman.cli._lab import LabBeside

    return LabBeside(report, getattr(request.config.model, "cell", None))


def summary(result: Result) -> str:
    """The metrics of all models on all splits, the best first, and the files."""
    table = metrics_table({"this run": result.metrics, **result.baselines}, result.metric)
    pictures = [f"picture {file}" for file in result.pictures if file.suffix == ".png"]
    if not available():
        pictures.append(MISSING)
    return "\n".join([table, f"run {result.run.path}", *pictures])


def _trained(request: Request, report: Report) -> Result:
    from elman.training import train as run

    options = request.options
    return run(
        request.config,
        directory=Path(options["runs"]),
        name=options["name"],
        force=options["force"],
        report=report,
    )


def _resumed(request: Request, report: Report) -> Result:
    from elman.training import read_config

    read_config(Path(request.options["resume"]))  # a mistyped path is named before torch is loaded
    from elman.training import resume

    kept = {"resume", "json", "quiet", "lab", "model.cell", "trust"}
    other = [
        f"--{k}" for k in request.arguments.values if k not in kept and not k.startswith("train.")
    ]
    if other := [*other, *request.arguments.words]:
        raise ConfigError(
            f"a resumed run keeps its data and its model, got {', '.join(other)}: "
            "leave them out, or start a new run"
        )
    values = from_flags(request.arguments).items()
    changes = {key.removeprefix("train."): v for key, v in values if key.startswith("train.")}
    path = Path(request.options["resume"])
    cell = request.arguments.values.get("model.cell")
    with own_cells([path], cell, trust=request.options["trust"]):
        return resume(path, changes, report=report)
