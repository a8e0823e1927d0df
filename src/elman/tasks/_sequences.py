"""Sequences as features: a text, or a series of numbers."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman._errors import ConfigError
from elman.data import (
    BadValue,
    Column,
    Ragged,
    Rows,
    Vectors,
    Vocabulary,
    crop,
    matching_columns,
    read_vectors,
)
from elman.nn import Embedding
from elman.tasks._answers import value_of
from elman.tasks._classify_config import ClassifyData, ClassifyNet
from elman.tasks._features import Feature
from elman.tasks._layers import embedding
from elman.tasks._regress_config import RegressData, RegressNet

Reals = NDArray[np.float32]


class SequenceFeature(Feature):
    """A sequence; the network reads at most ``max_length`` steps of it.

    Attributes:
        max_length: the most steps that are read.
        keep: which end of a longer sequence is read, "head" or "tail".
        longest: the most steps of a training row that are read.
    """

    longest = 1

    def __init__(self, column: str, max_length: int, keep: Literal["head", "tail"]) -> None:
        self.columns, self.max_length, self.keep = (column,), max_length, keep

    @abstractmethod
    def layer(self, model: ClassifyNet | RegressNet) -> nn.Module:
        """From a padded batch (batch, steps, ...) to vectors (batch, steps, output_size)."""

    def read(self, batch: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The steps of a padded batch that the network reads, and how many each row has."""
        return crop(batch, lengths, self.max_length, tail=self.keep == "tail")

    def facts(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        longer = {
            split: int((column.lengths > self.max_length).sum())
            for split, column in columns.items()
            if isinstance(column, Ragged)
        }
        if not any(longer.values()):
            return {}
        return {"longer": {"than": self.max_length, "read": self.keep, **longer}}

    def _fit_length(self, column: Ragged) -> None:
        self.longest = min(self.max_length, int(column.lengths.max()))


class Text(SequenceFeature):
    """A text, as the indices of its tokens.

    Args:
        column: the name of the column.
        level: what a token is: "word", "char", "bpe" or "unigram".
        vocabulary: the most entries of the vocabulary.
        min_count: tokens with fewer occurrences become <unk>.
        lowercase: whether text is read as lower case.
        punctuation: whether punctuation marks are tokens of their own.
        vectors: a file of pre-trained vectors.
        max_length, keep: see `SequenceFeature`.

    Example:
        >>> text = Text("review")
        >>> text.fit(["so good", "so bad"])
        >>> text.unknown("so so"), text.unknown("not bad")
        ([], ['not'])
    """

    tokens: Vocabulary
    vectors: Vectors | None = None

    def __init__(
        self,
        column: str,
        *,
        level: str = "word",
        vocabulary: int | None = 20_000,
        min_count: int = 1,
        lowercase: bool = True,
        punctuation: bool = True,
        vectors: Path | None = None,
        max_length: int = 400,
        keep: Literal["head", "tail"] = "head",
    ) -> None:
        super().__init__(column, max_length, keep)
        self.level, self.file = level, vectors
        self.options: dict[str, Any] = {
            "min_count": min_count,
            "max_size": vocabulary,
            "lowercase": lowercase,
            "punctuation": punctuation,
        }
        self.size: int | None = None

    def parse(self, values: Mapping[str, Any]) -> str:
        (column,) = self.columns
        text = value_of(values, column)
        if isinstance(text, list):  # tokens, or their numbers
            text = " ".join(map(str, text))
        if not isinstance(text, str) or not text.strip():
            got = "none" if not text else repr(text)
            raise BadValue(column, f"a text was expected, got {got}")
        return text

    def fit(self, values: Sequence[str]) -> None:
        self.tokens = Vocabulary.train(values, self.level, **self.options)
        if self.file:
            self.vectors = read_vectors(self.file, self.tokens.tokens)
            self.size = self.vectors.values.shape[1]
        self._fit_length(self.encode(values))

    def encode(self, values: Sequence[str]) -> Ragged:
        return Ragged.of(self.tokens.encode_lines(list(values)), torch.int32)

    def state_dict(self) -> dict[str, Any]:
        tokenizer = json.loads(self.tokens.to_json())
        return {"tokenizer": tokenizer, "size": self.size, "longest": self.longest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.tokens = Vocabulary.from_json(json.dumps(state["tokenizer"]))
        self.size, self.longest = state["size"], int(state["longest"])

    def row_of(self, text: str) -> dict[str, Any]:
        values = {self.columns[0]: text}
        self.parse(values)
        return values

    def unknown(self, value: str) -> list[str]:
        return self.tokens.unknown(value)

    def step_names(self, column: Tensor) -> list[str]:
        indices = column.tolist()
        most = self.max_length
        return [
            self.tokens.token(i)
            for i in (indices[-most:] if self.keep == "tail" else indices[:most])
        ]

    def text_of(self, column: Tensor) -> str:
        return self.tokens.decode(column.tolist())

    def facts(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        facts = {**super().facts(columns), "vocabulary": len(self.tokens)}
        if self.vectors is not None:
            facts["with_vector"] = int(self.vectors.mask.sum())
        return facts

    def layer(self, model: ClassifyNet | RegressNet) -> Embedding:
        if self.size and model.embedding not in (None, self.size):
            raise ConfigError(
                f"the vectors have {self.size} components, and model.embedding = "
                f"{model.embedding}: leave it out"
            )
        layer = embedding(len(self.tokens), self.size or model.embedding or model.hidden)
        if self.vectors is not None:
            layer.start_from(*self.vectors)
        return layer.requires_grad_(not model.freeze)


class Series(SequenceFeature):
    """A number, or equally many numbers, at each step.

    Args:
        column: the name of the column, or a pattern such as ``x*`` for a column a step.
        standardize: whether steps get mean 0 and deviation 1 over the training rows.
        permute: the seed of a permutation of the steps, the same for every row; all rows then have
            as many steps as the first.
        max_length, keep: see `SequenceFeature`.

    Example:
        >>> series = Series("x", standardize=True)
        >>> series.fit([series.parse({"x": "1 3"}), series.parse({"x": "5"})])
        >>> series.mean, series.encode([series.parse({"x": "3 3"})]).values[:, 0].tolist()
        ([3.0], [0.0, 0.0])
    """

    mean: list[float]
    deviation: list[float]
    features: int | None = None
    order: NDArray[np.int64] | None = None

    def __init__(
        self,
        column: str,
        *,
        standardize: bool = False,
        permute: int | None = None,
        max_length: int = 1_000_000,
        keep: Literal["head", "tail"] = "head",
    ) -> None:
        super().__init__(column, max_length, keep)
        self.standardize, self.permute = standardize, permute

    def parse(self, values: Mapping[str, Any]) -> Reals:
        (name,) = self.columns
        columns = matching_columns(name, list(values)) if isinstance(values, Mapping) else []
        if len(columns) < 2:
            columns = columns or [name]
            steps = _numbers(columns[0], value_of(values, columns[0]))
        else:  # a column for each step
            steps = _numbers(name, [_number(c, values[c]) for c in columns])
        steps = steps[:, None] if steps.ndim == 1 else steps
        if steps.ndim != 2 or not len(steps):
            raise BadValue(name, "numbers, or lists of numbers, were expected, one a step")
        if not np.isfinite(steps).all():
            step = int(np.flatnonzero(~np.isfinite(steps).all(1))[0])
            raise BadValue(name, f"step {step + 1} is {steps[step].tolist()}: give finite numbers")
        self.features = self.features or steps.shape[1]  # the first row says how many
        if steps.shape[1] != self.features:
            expected = "1 number was" if self.features == 1 else f"{self.features} numbers were"
            raise BadValue(name, f"{expected} expected at each step, got {steps.shape[1]}")
        return steps if self.permute is None else self._permuted(steps, self.permute)

    def _permuted(self, steps: Reals, seed: int) -> Reals:
        if self.order is None:
            self.order = _order(len(steps), seed)
        if len(steps) != len(self.order):
            raise BadValue(
                self.columns[0],
                f"{len(self.order)} steps were expected, as in the first row, since data.permute "
                f"is set, got {len(steps)}",
            )
        return steps[self.order]

    def key(self, value: Reals) -> bytes:
        return value.tobytes()

    def fit(self, values: Sequence[Reals]) -> None:
        features = values[0].shape[1]
        self.mean, self.deviation = [0.0] * features, [1.0] * features
        if self.standardize:
            steps = np.concatenate(values).astype(np.float64)
            deviation = steps.std(0)
            self.mean = steps.mean(0).tolist()
            self.deviation = np.where(deviation > 0, deviation, 1.0).tolist()
        self._fit_length(self.encode(values))

    def encode(self, values: Sequence[Reals]) -> Ragged:
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        return Ragged.of([(steps - mean) / deviation for steps in values], torch.float32)

    def text_of(self, column: Tensor) -> str:
        mean, deviation = torch.tensor(self.mean), torch.tensor(self.deviation)
        return super().text_of(column * deviation + mean)

    def state_dict(self) -> dict[str, Any]:
        state = {"mean": self.mean, "deviation": self.deviation, "longest": self.longest}
        return state if self.order is None else {**state, "permuted": len(self.order)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean, self.deviation = list(state["mean"]), list(state["deviation"])
        self.features, self.longest = len(self.mean), int(state["longest"])
        if self.permute is not None:
            self.order = _order(int(state["permuted"]), self.permute)

    def layer(self, model: ClassifyNet | RegressNet) -> Unchanged:
        return Unchanged(len(self.mean))


class Unchanged(nn.Module):
    """Numbers enter the network as they are."""

    def __init__(self, output_size: int) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return x


def sequence_feature(
    data: ClassifyData | RegressData, model: ClassifyNet | RegressNet
) -> Text | Series:
    """The feature that a configuration describes: a text where it names one, else numbers."""
    ends: Any = {"max_length": data.max_length, "keep": data.keep}
    if data.series:
        return Series(data.series, standardize=bool(data.standardize), permute=data.permute, **ends)
    return Text(
        data.text or "",
        level=data.level,
        vocabulary=data.vocabulary,
        min_count=data.min_count,
        lowercase=bool(data.lowercase),
        punctuation=bool(data.punctuation),
        vectors=model.vectors,
        **ends,
    )


def _numbers(name: str, value: Any) -> Reals:
    """A list of numbers, or a text of them: with spaces or semicolons between, or as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("[["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BadValue(name, f"lists of numbers were expected, as JSON: {error}") from error
    if isinstance(value, str):
        parts = value.replace(";", " ").replace(",", " ").strip("[] ").split()
        return _numbers(name, [_number(name, part) for part in parts])
    if isinstance(value, list | tuple) and len({_width(step) for step in value}) > 1:
        raise BadValue(
            name,
            "numbers, or lists of equally many, were expected, one a step: lists of different "
            "lengths",
        )
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused where steps are checked
            return np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadValue(
            name, f"numbers, or lists of equally many, were expected, one a step: {error}"
        ) from error


def _order(steps: int, seed: int) -> NDArray[np.int64]:
    """A permutation; of the seed 5544 and 784 steps that of UnICORNN's experiments."""
    order: NDArray[np.int64] = torch.randperm(
        steps, generator=torch.Generator().manual_seed(seed)
    ).numpy()
    return order


def _width(step: Any) -> int | None:
    return len(step) if isinstance(step, list | tuple) else None


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadValue(name, f"a number was expected, got {value!r:.80}") from error


def flat(rows: Rows, steps: int) -> NDArray[np.float64]:
    """The first steps of each row of numbers side by side, filled up with zeros."""
    batch, lengths = rows.sequences("x").padded(torch.arange(len(rows)))
    batch, _ = crop(batch, lengths, steps)
    full = batch.new_zeros(len(rows), steps, *batch.shape[2:])
    full[:, : batch.shape[1]] = batch
    return full.flatten(1).double().numpy()


def token_lists(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All tokens end to end, and the number of tokens in each row."""
    column = rows.sequences("x")
    return column.values.long().numpy(), column.lengths.numpy()
