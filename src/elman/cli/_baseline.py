"""``elman baseline TASK``: train and score the baselines on the data of a task."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from elman.cli._output import emit, metrics_table
from elman.cli._progress import reporting
from elman.cli._request import parse_request

LINE = """Train and score the baselines of a task: simple models on the same data.

Takes the settings of `elman train`; [model] and [train] have no effect."""


def baseline(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Train and score the baselines of a task."""
    request = parse_request("baseline", LINE, tokens)
    if request is None:
        return
    from elman.tasks import by_name

    chosen = by_name(request.task)

    with reporting(json=False, quiet=request.options["quiet"]) as report:

        def reading(what: str, done: int, total: int) -> None:
            report({"event": "reading", "what": what, "done": done, "total": total})

        task = chosen.prepare(request.config.data, request.config.model, None, reading)
    baselines = task.baselines()
    if request.options["json"]:
        emit({"event": "end", "baselines": baselines})
    else:
        print(metrics_table(baselines, task.metric))
