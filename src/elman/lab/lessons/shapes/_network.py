"""A network for each shape: something that reads, and something that writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman import Recurrent
from elman.cells import GRU
from elman.lab.lessons.shapes._examples import END, Example

NOTHING = -100
"""What cross entropy ignores: a place without a word."""


class Rows(NamedTuple):
    """Rows as tensors: x (rows, steps in, I), its lengths, and words (rows, steps out)."""

    x: Tensor
    lengths: Tensor
    words: Tensor

    def pick(self, rows: Tensor) -> Rows:
        """Some of them."""
        return Rows(*(part[rows] for part in self))


class Codes:
    """Between the words of a task and numbers."""

    def __init__(self, example: Example) -> None:
        self.input = sorted({word for row in example.read for word in row})
        self.output = sorted({word for row in example.written for word in row})

    def rows(self, example: Example) -> Rows:
        """The task's rows as tensors: an image as its pixels, a word as a one among zeros."""
        lengths = torch.tensor([len(row) for row in example.read])
        words = _padded(example.written, self.output)
        if example.images is not None:
            return Rows(example.images[:, None], lengths, words)
        read = _padded(example.read, self.input).clamp(min=0)
        return Rows(F.one_hot(read, len(self.input)).float(), lengths, words)

    def written(self, words: Sequence[int]) -> list[str]:
        """Numbers as words, up to the one that ends a text."""
        text = [self.output[w] for w in words if w != NOTHING]
        return text[: text.index(END) + 1] if END in text else text


def _padded(rows: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> Tensor:
    place = {word: number for number, word in enumerate(vocabulary)}
    tensors = [torch.tensor([place[word] for word in row]) for row in rows]
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=NOTHING)


class Shaped(nn.Module):
    """Reads one item or many, and writes one word, a word for each item, or a text.

    One item is read by a layer without recurrence. A text is written by a second recurrence, which
    begins in the state that the first one ended in and reads its own last word.
    """

    def __init__(self, shape: str, features: int, words: int, hidden: int = 32) -> None:
        super().__init__()
        self.shape, self.words = shape, words
        one = shape.startswith("one")
        self.reader = nn.Linear(features, hidden) if one else Recurrent(GRU(features, hidden))
        self.writer = Recurrent(GRU(words + 1, hidden)) if self.is_writing else None
        self.output = nn.Linear(hidden, words)

    @property
    def is_writing(self) -> bool:
        """Whether the number of words is the network's own choice."""
        return self.shape in {"one-to-many", "translation"}

    def read(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """The hidden state after each item (rows, steps in, H), and after the last (rows, H)."""
        if isinstance(self.reader, nn.Linear):
            hidden = torch.relu(self.reader(rows.x))
            return hidden, hidden[:, -1]
        hidden, state = self.reader(rows.x, lengths=rows.lengths)
        return hidden, state.h

    def forward(self, rows: Rows) -> Tensor:
        """Logits (rows, steps out, words); a writer is given the words before each."""
        hidden, last = self.read(rows)
        if self.writer is not None:
            before = F.one_hot(rows.words.clamp(min=0)[:, :-1], self.words + 1)
            start = self._start(len(last))
            hidden, _ = self.writer(torch.cat([start, before], 1).float(), last_state(self, last))
        elif self.shape != "many-to-many":
            hidden = last[:, None]
        logits: Tensor = self.output(hidden)
        return logits

    def answer(self, rows: Rows) -> Tensor:
        """The likeliest words (rows, steps out); a writer reads what it wrote."""
        if self.writer is None:
            words: Tensor = self(rows).argmax(-1)
            real = torch.arange(words.shape[1]) < rows.lengths[:, None]
            return words.where(real | (words.shape[1] == 1), NOTHING)
        _, last = self.read(rows)
        state, word, written = last_state(self, last), self._start(len(last)), []
        for _ in range(rows.words.shape[1]):
            hidden, state = self.writer(word.float(), state)
            written.append(self.output(hidden).argmax(-1))
            word = F.one_hot(written[-1], self.words + 1)
        return torch.cat(written, 1)

    def _start(self, rows: int) -> Tensor:
        """The word before the first, which is no word of the vocabulary."""
        return F.one_hot(torch.full((rows, 1), self.words), self.words + 1)


def last_state(network: Shaped, h: Tensor) -> tuple[Tensor, ...]:
    """The reader's last state as the writer's first."""
    assert network.writer is not None
    state: tuple[Tensor, ...] = network.writer.cell.State(h=h)
    return state


def loss(network: Shaped, rows: Rows) -> Tensor:
    """The mean cross entropy of a word."""
    return F.cross_entropy(network(rows).flatten(0, 1), rows.words.flatten(), ignore_index=NOTHING)
