"""Rows to be answered, and what is said of them beside their own columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elman.data import BadValue

PREDICTED = "predicted_"
"""Goes before the name of a prediction that is also that of a column."""


def value_of(row: Any, column: str) -> Any:
    """What a row has in a column.

    Raises:
        BadValue: it is no row, or has no such column.

    >>> value_of({"review": "good"}, "text")
    Traceback (most recent call last):
    elman.data._table.BadValue: column 'text': missing: the row has 'review'
    """
    if not isinstance(row, Mapping):
        raise BadValue("", f"a row was expected, such as {{{column!r}: ...}}, got {row!r:.80}")
    if column not in row:
        there = ", ".join(map(repr, row)) or "no column"
        raise BadValue(column, f"missing: the row has {there}")
    return row[column]


def beside(row: Mapping[str, Any], prediction: Mapping[str, Any]) -> dict[str, Any]:
    """A row with all its columns, then what is said of it.

    Nothing of the row is renamed or lost: a prediction whose name it has, or that would take the
    place of such a column in a table, gets ``predicted_`` in front, as often as that takes.

    >>> beside({"text": "good", "label": "?"}, {"label": "yes"})
    {'text': 'good', 'label': '?', 'predicted_label': 'yes'}
    """
    answer = dict(row)
    for name, value in prediction.items():
        while any(column == name or column.startswith(f"{name}.") for column in row):
            name = PREDICTED + name
        answer[name] = value
    return answer
