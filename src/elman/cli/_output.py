"""Output: results go to stdout, logs and progress to stderr."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from elman._errors import ConfigError, DataError

if TYPE_CHECKING:
    from elman.metrics import Metric
    from elman.tasks import LanguageModel, Table

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""A switch that is off by default."""


def emit(record: Mapping[str, Any]) -> None:
    """Print one JSON object on a line and flush, so that a pipe sees it at once."""
    print(as_json(record), flush=True)


def as_json(record: Mapping[str, Any]) -> str:
    """A line of JSON; NaN and infinity, which JSON lacks, become null."""
    text = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False, default=str)
    # A path may have bytes that are not UTF-8; JSON can escape them.
    return text if text.isprintable() else json.dumps(json.loads(text))


def write_csv(records: Iterable[Mapping[str, Any]], file: IO[str], *, raw: bool = False) -> None:
    """Write one row per record, or one per element if a record holds a list of records.

    Text that a spreadsheet would run as a formula is escaped, and `elman.data.read_table` undoes
    that; ``raw`` writes it unchanged.

    >>> series = {"series": "a", "steps": [{"time": "1", "value": 2.5}, {"time": "2", "value": 3}]}
    >>> write_csv([series], sys.stdout)
    series,time,value
    a,1,2.5
    a,2,3
    """
    from elman.data import guarded

    writer: csv.DictWriter[str] | None = None
    for record in records:
        for row in _flat(record):
            if not raw:
                row = {
                    guarded(name): guarded(value) if isinstance(value, str) else value
                    for name, value in row.items()
                }
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            if row.keys() != set(writer.fieldnames):
                odd = ", ".join(sorted(row.keys() ^ set(writer.fieldnames)))
                raise DataError(
                    f"all rows of a .csv file must have the same columns; some lack {odd}: "
                    "write a .jsonl file instead"
                )
            writer.writerow(row)


def _flat(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a record; nested values become columns such as ``probabilities.yes``."""
    row: dict[str, Any] = {}
    inner: list[dict[str, Any]] = [{}]
    for name, value in record.items():
        match value:
            case Mapping():
                row |= {f"{name}.{key}": part for key, part in value.items()}
            case [Mapping(), *_]:
                inner = value
            case list() | tuple() if any(isinstance(part, list | tuple) for part in value):
                row[name] = json.dumps(value)
            case list() | tuple():
                row[name] = " ".join(map(str, value))
            case _:
                row[name] = value
    return ({**row, **each} for each in inner)


def _finite(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
    return value


def log(text: str) -> None:
    with to_stderr():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def to_stderr() -> Iterator[None]:
    """Ignore a lost terminal or a full disk; a closed pipe still ends the program."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def table(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Aligned columns of text: the first to the left, the others to the right."""
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def titled(more: Table) -> str:
    """A table of a task, below its title."""
    cells = [[v if isinstance(v, str) else number(v) for v in row] for row in more.rows]
    return f"\n{more.title}\n{table([list(more.columns), *cells], indent='  ')}"


def number(value: float | None) -> str:
    """A number with four significant digits; counts with separators; None is empty.

    >>> number(161.2345), number(17.0), number(0.012345), number(1234567), number(None)
    ('161.2', '17.00', '0.01235', '1,234,567', '')
    """
    if value is None:
        return ""
    whole = isinstance(value, int) or abs(value) >= 10_000
    return f"{value:,.0f}" if whole else f"{value:#.4g}"


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is 1.

    >>> counted(1, "thread"), counted(2000, "update")
    ('1 thread', '2,000 updates')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def duration(seconds: float) -> str:
    """A time such as 1:02:03 or 2:03.

    >>> duration(123.4), duration(3723)
    ('2:03', '1:02:03')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def metrics_table(models: Mapping[str, Mapping[str, Mapping[str, float]]], metric: Metric) -> str:
    """The metric of each model on each split, the best model first; those without it are left out.

    >>> from elman.metrics import Metric
    >>> bigram, ours = {"valid": {"perplexity": 210.1}}, {"valid": {"perplexity": 120.7}}
    >>> models = {"bigram": bigram, "ours": ours, "copy": {"valid": {"accuracy": 0.1}}}
    >>> print(metrics_table(models, Metric("perplexity")))
    perplexity  valid
    ours        120.7
    bigram      210.1
    >>> guess, ours = {"test": {"accuracy": 0.5}}, {"test": {"accuracy": 0.9}}
    >>> print(metrics_table({"guess": guess, "ours": ours}, Metric("accuracy", True)))
    accuracy    test
    ours      0.9000
    guess     0.5000
    """
    splits = list(dict.fromkeys(split for measured in models.values() for split in measured))
    if not splits:
        return "no metrics: the run has no validation or test data"
    name, sign = metric.name, -1 if metric.higher_is_better else 1
    rows = [
        (model, [measured.get(s, {}).get(name) for s in splits])
        for model, measured in models.items()
        if any(name in metrics for metrics in measured.values())
    ]
    rows.sort(key=lambda row: (row[1][0] is None, sign * (row[1][0] or 0)))
    cells = [[model, *map(number, values)] for model, values in rows]
    return table([[name, *splits], *cells])


def with_bad_rows(task: Any, action: Literal["error", "skip"] | None) -> Any:
    """The task with a setting for bad rows; a ConfigError if it does not read tables."""
    from elman.tasks import Supervised

    if action is None:
        return task
    if not isinstance(task, Supervised) or not task.features:
        raise ConfigError(f"--on-bad-row is for tasks that read tables, not for {task.name}")
    task.source.bad.action = action
    return task


def with_beam(task: Any, width: int | None) -> Any:
    """The task with a beam width; a ConfigError if it does not search."""
    if width is None:
        return task
    if not hasattr(task, "beam"):
        raise ConfigError(f"--beam is for tasks with beam search, not for {task.name}")
    if width < 1:
        raise ConfigError(f"--beam must be at least 1, got {width}")
    task.beam = width
    return task


def warn_unknown(model: LanguageModel, prompt: str) -> list[str]:
    """The words of a prompt outside of the vocabulary, which are also logged."""
    unknown = model.vocabulary.unknown(prompt)
    log_unknown(unknown)
    return unknown


def log_unknown(words: Sequence[str]) -> None:
    """Log the words that are not in the vocabulary, if any."""
    if words:
        log(f"not in the vocabulary, read as <unk>: {', '.join(words)}")
