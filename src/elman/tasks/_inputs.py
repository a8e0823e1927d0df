"""What a row begins with, text or numbers: read, numbered, and made into vectors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman._errors import ConfigError
from elman.data import BadValue, Ragged, Vectors, Vocabulary, read_vectors
from elman.data._table import matching
from elman.nn import Embedding
from elman.tasks._answers import value_of
from elman.tasks._sequence_config import SequenceData, SequenceNet

Reals = NDArray[np.float32]


class Input(ABC):
    """One kind of sequence: from a row's values to a Ragged column, and to a network's vectors."""

    @abstractmethod
    def wanted(self) -> list[str]:
        """The columns it is read from."""

    @abstractmethod
    def parse(self, values: Mapping[str, Any]) -> Any:
        """The sequence in a row, or a BadValue."""

    @abstractmethod
    def key(self, sequence: Any) -> Any:
        """The sequence as something that can be compared and hashed."""

    @abstractmethod
    def learn(self, sequences: Sequence[Any]) -> None:
        """Take from the training sequences what encoding needs."""

    @abstractmethod
    def encode(self, sequences: Sequence[Any]) -> Ragged: ...

    @abstractmethod
    def learned(self) -> dict[str, Any]: ...

    @abstractmethod
    def recall(self, learned: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def layer(self, model: SequenceNet) -> nn.Module:
        """From a padded batch (batch, steps, ...) to vectors (batch, steps, output_size)."""


class Text(Input):
    """A text, as the indices of its tokens."""

    vocabulary: Vocabulary
    vectors: Vectors | None = None

    def __init__(self, data: SequenceData, vectors: Path | None = None) -> None:
        self.data, self.file = data, vectors
        self.size: int | None = None

    def wanted(self) -> list[str]:
        return [self.data.text or ""]

    def parse(self, values: Mapping[str, Any]) -> str:
        name = self.data.text or ""
        text = value_of(values, name)
        if isinstance(text, list):  # tokens, or their numbers
            text = " ".join(map(str, text))
        if not isinstance(text, str) or not text.strip():
            raise BadValue(name, "a text was expected, got " + ("none" if not text else repr(text)))
        return text

    def key(self, sequence: str) -> str:
        return sequence

    def learn(self, sequences: Sequence[str]) -> None:
        data = self.data
        self.vocabulary = Vocabulary.train(
            sequences,
            data.level,
            min_count=data.min_count,
            max_size=data.vocabulary,
            lowercase=bool(data.lowercase),
            punctuation=bool(data.punctuation),
        )
        if self.file:
            self.vectors = read_vectors(self.file, self.vocabulary.tokens)
            self.size = self.vectors.values.shape[1]

    def encode(self, sequences: Sequence[str]) -> Ragged:
        return Ragged.of(self.vocabulary.encode_lines(list(sequences)), torch.int32)

    def learned(self) -> dict[str, Any]:
        return {"tokenizer": json.loads(self.vocabulary.to_json()), "size": self.size}

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary.from_json(json.dumps(learned["tokenizer"]))
        self.size = learned["size"]

    def layer(self, model: SequenceNet) -> Embedding:
        if self.size and model.embedding not in (None, self.size):
            raise ConfigError(
                f"the vectors have {self.size} components, and model.embedding = "
                f"{model.embedding}: leave it out"
            )
        embedding = Embedding(len(self.vocabulary), self.size or model.embedding or model.hidden)
        nn.init.normal_(embedding.weight, std=0.1)
        if self.vectors is not None:
            embedding.start_from(*self.vectors)
        return embedding.requires_grad_(not model.freeze)


class Series(Input):
    """Numbers, or equally many numbers, at each step."""

    mean: list[float]
    deviation: list[float]
    features: int | None = None

    def __init__(self, data: SequenceData) -> None:
        self.data = data

    def wanted(self) -> list[str]:
        return [self.data.series or ""]

    def parse(self, values: Mapping[str, Any]) -> Reals:
        name = self.data.series or ""
        columns = matching(name, list(values)) if isinstance(values, Mapping) else []
        if len(columns) < 2:
            columns = columns or [name]
            value = value_of(values, columns[0])
            steps = _numbers(columns[0], value)
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
        return steps

    def key(self, sequence: Reals) -> bytes:
        return sequence.tobytes()

    def learn(self, sequences: Sequence[Reals]) -> None:
        features = sequences[0].shape[1]
        self.mean, self.deviation = [0.0] * features, [1.0] * features
        if self.data.standardize:
            steps = np.concatenate(sequences).astype(np.float64)
            deviation = steps.std(0)
            self.mean = steps.mean(0).tolist()
            self.deviation = np.where(deviation > 0, deviation, 1.0).tolist()

    def encode(self, sequences: Sequence[Reals]) -> Ragged:
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        return Ragged.of([(s - mean) / deviation for s in sequences], torch.float32)

    def learned(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation}

    def recall(self, learned: Mapping[str, Any]) -> None:
        self.mean, self.deviation = list(learned["mean"]), list(learned["deviation"])
        self.features = len(self.mean)

    def layer(self, model: SequenceNet) -> AsItIs:
        return AsItIs(len(self.mean))


class AsItIs(nn.Module):
    """Numbers enter the network as they are."""

    def __init__(self, output_size: int) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return x


def read_input(data: SequenceData, model: SequenceNet) -> Input:
    """Text where a column of it is named, else numbers."""
    return Series(data) if data.series else Text(data, model.vectors)


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
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused where steps are checked
            return np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        ragged = "inhomogeneous" in str(error)
        why = "lists of different lengths" if ragged else str(error)
        raise BadValue(
            name, f"numbers, or lists of equally many, were expected, one a step: {why}"
        ) from error


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadValue(name, f"a number was expected, got {value!r:.80}") from error
