"""``elman baseline TASK``: the simple models alone, on the data that a network would have."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from elman.cli._output import emit, metrics_table
from elman.cli._progress import reporting
from elman.cli._request import parse_request

LINE = """Measure what a network has to beat: simple models on the same data and splits.

Settings are those of `elman train`; those of [model] and [train] do not matter here."""


def baseline(*tokens: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Measure what a network has to beat, on the same data."""
    request = parse_request("baseline", LINE, tokens)
    if request is None:
        return
    from elman.tasks import by_name
    from elman.tasks._base import NamedTask

    chosen = by_name(request.task)
    assert issubclass(chosen, NamedTask)

    with reporting(json=False, quiet=request.options["quiet"]) as report:

        def reading(what: str, done: int, total: int) -> None:
            report({"event": "reading", "what": what, "done": done, "total": total})

        task = chosen.prepare(request.config.data, request.config.model, None, reading)
    baselines = task.baselines()
    if request.options["json"]:
        emit({"event": "end", "baselines": baselines})
    else:
        print(metrics_table(baselines))
