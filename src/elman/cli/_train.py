"""``elman train TASK``: train, and say how the result compares with the simple models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman._errors import ConfigError
from elman.cli._output import metrics_table
from elman.cli._progress import Report, reporting
from elman.cli._request import Request, from_flags, parse_request
from elman.cli._settings import Setting
from elman.pictures import MISSING, available

if TYPE_CHECKING:
    from elman.training import Result

LINE = """Train a model, keep it in a run folder, and measure it on the validation and test data.

Settings come from flags, then variables (ELMAN_MODEL_HIDDEN=256), then --config FILE, then the
defaults. Ctrl-C, SIGTERM and SIGHUP save and stop; --resume RUN goes on."""
OPTIONS = (
    Setting("name", str | None, None, "what the run is called; the task's name unless given"),
    Setting("runs", Path, Path("runs"), "where its folder NAME-N is made, with the next free N"),
    Setting(
        "force", bool, False, "make it NAME-1, in the place of the run there once it has begun"
    ),
    Setting("resume", Path | None, None, "go on with this run; only --train.X may change"),
)


def train(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Train a model on your files or on a named data set."""
    request = parse_request("train", LINE, tokens, OPTIONS)
    if request is None:
        return
    options = request.options
    with reporting(json=options["json"], quiet=options["quiet"]) as report:
        result = _resumed(request, report) if options["resume"] else _trained(request, report)
    if not options["json"]:
        print(summary(result))


def summary(result: Result) -> str:
    """Every model's metrics on every split, the best first, and where run and pictures are."""
    table = metrics_table({"this run": result.metrics, **result.baselines})
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
    from elman.training._run_config import read_config

    read_config(Path(request.options["resume"]))  # a mistyped path is named before torch is loaded
    from elman.training import resume

    kept = {"resume", "json", "quiet"}
    other = [
        f"--{k}" for k in request.arguments.values if k not in kept and not k.startswith("train.")
    ]
    if other := [*other, *request.arguments.words]:
        raise ConfigError(
            f"a run that is resumed keeps its data and its model, got {', '.join(other)}: "
            "leave them out, or start a new run"
        )
    values = from_flags(request.arguments).items()
    changes = {key.removeprefix("train."): v for key, v in values if key.startswith("train.")}
    return resume(Path(request.options["resume"]), changes, report=report)
