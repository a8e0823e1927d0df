"""``elman train TASK``: train, and say how the result compares with the simple models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elman._errors import ConfigError
from elman.cli._output import metrics_table
from elman.cli._progress import reporting
from elman.cli._request import Request, request
from elman.cli._settings import Leaf

if TYPE_CHECKING:
    from elman.train import Result

LINE = """Train a model, keep it in a run folder, and measure it on the validation and test text.

Settings come from flags, then variables (ELMAN_MODEL_HIDDEN=256), then --config FILE, then the
defaults. Ctrl-C saves and stops; `--resume RUN` goes on."""
OPTIONS = (
    Leaf("name", str | None, None, "name of the run folder; the task's name unless given"),
    Leaf("runs", Path, Path("runs"), "where run folders are made"),
    Leaf("force", bool, False, "replace the run folder if it exists"),
    Leaf("resume", Path | None, None, "go on with this run folder, with its settings"),
)


def train(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Train a model on text files or on a named data set."""
    asked = request("train", LINE, tokens, OPTIONS)
    if asked is None:
        return
    from elman.train import resume
    from elman.train import train as run

    options = asked.options
    with reporting(json=options["json"], quiet=options["quiet"]) as report:
        if options["resume"]:
            _refuse_settings(asked)
            result = resume(Path(options["resume"]), report=report)
        else:
            result = run(
                asked.config,
                directory=Path(options["runs"]),
                name=options["name"],
                report=report,
                force=options["force"],
            )
    if not options["json"]:
        print(summary(result))


def summary(result: Result) -> str:
    """The run's folder, and every model's metrics on every split, the best first."""
    return f"{metrics_table({'this run': result.metrics, **result.baselines})}\nrun {result.run}"


def _refuse_settings(asked: Request) -> None:
    """A resumed run goes on as it began, so what was given beside --resume would be ignored."""
    allowed = {"resume", "json", "quiet"}
    extra = [f"--{key}" for key in asked.given.values if key not in allowed] + asked.given.words
    if extra:
        raise ConfigError(
            f"--resume goes on with the run's own settings, got also {', '.join(extra)}: "
            "leave them out, or start a new run"
        )
