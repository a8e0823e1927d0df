"""Features: a part of each row, from the columns of a table to a column of tensors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.data import BadValue, Column, Ragged, Rows

SHOWN_NUMBERS = 8
"""Numbers of a series that a sample of predictions shows."""


class Feature(ABC):
    """A part of each row: parsed from its columns, fitted on training rows, encoded as a tensor.

    A task has features for what its network reads and for what it predicts, see `Supervised`.
    A subclass has `parse` and `encode`; `fit`, `state_dict` and `load_state_dict` where encoding
    needs something from the training rows, such as a vocabulary. ``columns`` are the columns that
    a file must have.
    """

    columns: tuple[str, ...] = ()

    @abstractmethod
    def parse(self, values: Mapping[str, Any]) -> Any:
        """The value in a row.

        Raises:
            BadValue: there is none that can be used.
        """

    def fit(self, values: Sequence[Any]) -> None:  # noqa: B027 - many have nothing to fit
        """Take from the values of the training rows what encoding needs."""

    @abstractmethod
    def encode(self, values: Sequence[Any]) -> Column:
        """The values as a column of `elman.data.Rows`."""

    def state_dict(self) -> dict[str, Any]:
        """What `fit` computed, as JSON."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - as `fit`
        """Be as after `fit`."""

    def key(self, value: Any) -> Hashable:
        """Equal for values that are duplicates of each other."""
        hashable: Hashable = value
        return hashable

    def row_of(self, text: str) -> dict[str, Any] | None:
        """The columns of a row that has only this text; None for a feature that is no text."""
        return None

    def unknown(self, value: Any) -> list[str] | None:
        """The words of a text that are not in the vocabulary; None of what is no text."""
        return None

    def step_names(self, column: Tensor) -> list[str]:
        """What each step of an encoded row is, as text; empty where steps are numbers."""
        return []

    def text_of(self, column: Tensor) -> str:
        """An encoded row for people: its steps as text, or its first numbers."""
        if names := self.step_names(column):
            return " ".join(names)
        numbers = [f"{value:.3g}" for value in column.flatten()[:SHOWN_NUMBERS].tolist()]
        more = f" ... ({len(column):,} steps)" if column.numel() > SHOWN_NUMBERS else ""
        return " ".join(numbers) + more

    def facts(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        """Facts about the encoded columns, by split, as JSON."""
        return {}


class Labels(Feature):
    """One of a few labels.

    Args:
        column: the name of the column.

    Example:
        >>> label = Labels("kind")
        >>> label.fit(["b", "a", "b"])
        >>> label.labels, label.encode(["a", "b"])
        (['a', 'b'], tensor([0, 1]))
    """

    def __init__(self, column: str) -> None:
        self.columns = (column,)
        self.labels: list[str] = []

    def parse(self, values: Mapping[str, Any]) -> str:
        (column,) = self.columns
        value = values[column]
        label = "" if value is None else str(value).strip()
        if not label:
            raise BadValue(column, "a label was expected, got none")
        if self.labels and label not in self.labels:
            known = ", ".join(self.labels[:20])
            raise BadValue(column, f"{label!r} was not in training: {known}")
        return label

    def fit(self, values: Sequence[str]) -> None:
        labels = sorted(set(values))
        if len(labels) < 2:
            raise BadValue(self.columns[0], f"at least two labels are needed, got {labels}")
        self.labels = labels

    def encode(self, values: Sequence[str]) -> Tensor:
        numbers = {label: number for number, label in enumerate(self.labels)}
        return torch.tensor([numbers[label] for label in values])

    def state_dict(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.labels = list(state["labels"])


class Number(Feature):
    """A finite number.

    Args:
        column: the name of the column.
        standardize: whether ``mean`` and ``deviation`` are those of the training rows, or 0 and 1.

    Example:
        >>> size = Number("size", standardize=True)
        >>> size.fit([1.0, 3.0])
        >>> size.mean, size.deviation, size.encode([5.0])
        (2.0, 1.0, tensor([5.], dtype=torch.float64))
    """

    def __init__(self, column: str, *, standardize: bool = False) -> None:
        self.columns, self.standardize = (column,), standardize
        self.mean, self.deviation = 0.0, 1.0

    def parse(self, values: Mapping[str, Any]) -> float:
        (column,) = self.columns
        return finite(column, values[column])

    def fit(self, values: Sequence[float]) -> None:
        if self.standardize:
            numbers = torch.tensor(values, dtype=torch.float64)
            self.mean = float(numbers.mean())
            self.deviation = float(numbers.std(correction=0)) or 1.0

    def encode(self, values: Sequence[float]) -> Tensor:
        """In the unit of the column: metrics are in it, too."""
        return torch.tensor(values, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean, self.deviation = float(state["mean"]), float(state["deviation"])


class References(Feature):
    """Texts by people for a row, such as all its translations, as bytes, a line each.

    Args:
        texts: from the values of a row to its texts, each of them one line.
    """

    def __init__(self, texts: Callable[[Mapping[str, Any]], Sequence[str]]) -> None:
        self.texts = texts

    def parse(self, values: Mapping[str, Any]) -> Sequence[str]:
        return self.texts(values)

    def encode(self, values: Sequence[Sequence[str]]) -> Ragged:
        return Ragged.of([list("\n".join(texts).encode()) for texts in values], torch.uint8)


def reference_texts(rows: Rows) -> list[list[str]]:
    """The texts that `References` has of each row."""
    column = rows.sequences("references")
    return [bytes(row.tolist()).decode().split("\n") for row in column.unbind()]


def finite(column: str, value: Any) -> float:
    """The finite number in a cell of a column.

    Raises:
        BadValue: there is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadValue(column, f"a finite number was expected, got {value!r:.80}")
    return number
