"""A recurrent network and a bag of words, trained on the same sentences."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman import Recurrent, cells
from elman.data import Vocabulary
from elman.lab.lessons.order._sentences import Sentence, drawn
from elman.nn import Embedding
from elman.scan import mask

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS, TESTED, UPDATES, BATCH, EVERY = 4000, 500, 300, 32, 10
EMBEDDING, HIDDEN, RATE = 12, 24, 1e-2
CELLS = {"rnn": cells.Elman, "lstm": cells.LSTM, "gru": cells.GRU}


class Network(nn.Module):
    r"""Embedding, one recurrent layer, and one score after the last word.

    .. math:: p(\mathrm{praise}) = \sigma(W_{hy} h_T + b_y)
    """

    def __init__(self, cell: str, words: int) -> None:
        super().__init__()
        self.embedding = Embedding(words, EMBEDDING)
        self.recurrent = Recurrent(CELLS[cell](EMBEDDING, HIDDEN))
        self.output = nn.Linear(HIDDEN, 1)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (batch, time) and lengths (batch,) to scores (batch,)."""
        _, state = self.recurrent(self.embedding(tokens), lengths=lengths)
        scores: Tensor = self.output(state[0]).squeeze(-1)
        return scores

    def as_read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """P(praise) after every word (time,), and h (time, hidden), of one sentence (time,)."""
        output, _ = self.recurrent(self.embedding(tokens[None]))
        return self.output(output[0]).squeeze(-1).sigmoid(), output[0]


class Bag(nn.Module):
    r"""A weight for each word, wherever it stands: p = \sigma(b + \sum_t w_t)."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(words))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (batch, time) and lengths (batch,) to scores (batch,)."""
        real = mask(lengths, tokens.shape[1])
        # Sorted, so that the same words in another order give the same sum to the last bit.
        each = (self.weight[tokens] * real).sort(dim=-1).values
        return self.bias + each.sum(-1)


class Trained(NamedTuple):
    """Both models, their losses by update, and their accuracies on pairs they never saw."""

    vocabulary: Vocabulary
    network: Network
    bag: Bag
    losses: tuple[tuple[int, float, float], ...]
    accuracies: tuple[float, float]


@lru_cache(maxsize=6)
def trained(cell: str, seed: int) -> Trained:
    """The two models, the same for the same seed. They are kept: they read every sentence."""
    rows, test = drawn(ROWS, seed, held_out=False), drawn(TESTED, seed + 1, held_out=True)
    vocabulary = Vocabulary.train((row.text for row in rows), lowercase=True, punctuation=True)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        models = Network(cell, len(vocabulary)), Bag(len(vocabulary))
        losses = _train(models, *_batched(rows, vocabulary), seed)
    tokens, lengths, target = _batched(test, vocabulary)
    with torch.no_grad():
        right = [
            float(((model(tokens, lengths) > 0) == (target > 0)).float().mean()) for model in models
        ]
    return Trained(vocabulary, *models, tuple(losses), (right[0], right[1]))


def _train(
    models: tuple[nn.Module, ...], tokens: Tensor, lengths: Tensor, target: Tensor, seed: int
) -> list[tuple[int, float, float]]:
    optimizers = [torch.optim.Adam(model.parameters(), RATE) for model in models]
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for update in range(1, UPDATES + 1):
        rows = torch.randint(len(tokens), (BATCH,), generator=generator)
        pair = [
            _update(*each, tokens[rows], lengths[rows], target[rows])
            for each in zip(models, optimizers, strict=True)
        ]
        if update % EVERY == 0:
            losses.append((update, pair[0], pair[1]))
    return losses


def _update(model: Any, optimizer: Any, tokens: Tensor, lengths: Tensor, target: Tensor) -> float:
    optimizer.zero_grad()
    loss = F.binary_cross_entropy_with_logits(model(tokens, lengths), target)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def _batched(rows: Sequence[Sentence], vocabulary: Vocabulary) -> tuple[Tensor, Tensor, Tensor]:
    encoded = [torch.tensor(vocabulary.encode(row.text)) for row in rows]
    lengths = torch.tensor([len(row) for row in encoded])
    tokens = nn.utils.rnn.pad_sequence(encoded, batch_first=True)
    return tokens, lengths, torch.tensor([float(row.praises) for row in rows])
