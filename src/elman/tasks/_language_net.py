"""The network of the language model."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from elman.bptt import State
from elman.nn import Embedding, OneHot, OutputLayer
from elman.tasks._language_config import LanguageNet
from elman.tasks._layers import recurrent


class LanguageNetwork(nn.Module):
    r"""Embedding, recurrent layers and output layer.

    .. math:: x_t = \mathrm{drop}(E_{w_t}), \quad
        h_t = \mathrm{drop}(\mathrm{recurrent}(x_t, h_{t-1})), \quad z_t = W_{hy} h_t + b_y

    Dropout falls on the embedding and on the output of every layer, never on the recurrence.

    Args:
        config: sizes and kinds.
        vocabulary_size: V.

    Shapes: tokens (batch, time), scores (batch, time, V).

    Example:
        >>> import torch
        >>> network = LanguageNetwork(LanguageNet(hidden=8), vocabulary_size=20)
        >>> scores, state = network(torch.tensor([[3, 1, 4], [1, 5, 9]]))
        >>> scores.shape
        torch.Size([2, 3, 20])

    References:
        Zaremba, Sutskever & Vinyals 2014, "Recurrent neural network regularization".
    """

    def __init__(self, config: LanguageNet, vocabulary_size: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.embedding = _embedding(config, vocabulary_size)
        self.recurrent = recurrent(config, self.embedding.output_size)
        self.output = OutputLayer(
            self.recurrent.output_size,
            vocabulary_size,
            tie=self.embedding if config.tied and isinstance(self.embedding, Embedding) else None,
        )
        _initialize(self, config)

    def hidden(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Tokens (time, batch) to hidden states (time, batch, H): time first, as engines want."""
        x = F.dropout(self.embedding(tokens), self.dropout, self.training)
        hidden, state = self.recurrent(x, state)
        return hidden, state

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        hidden, state = self.hidden(tokens.T, state)
        return self.output(hidden.transpose(0, 1)), state

    def initial_state(self, batch_size: int) -> State:
        """What :meth:`step` begins with, so that the network can be streamed."""
        return self.recurrent.initial_state(batch_size)

    def vocabulary_weights(self) -> list[nn.Parameter]:
        """The matrices with a row for each token: one, where they are tied."""
        rows = [*self.embedding.parameters(), *self.output.parameters()]
        return [p for p in dict.fromkeys(rows) if p.dim() == 2]

    def step(self, token: Tensor, state: State = None) -> tuple[Tensor, State]:
        """One step: token (batch,) to scores (batch, V)."""
        hidden, state = self.recurrent.step(self.embedding(token), state)
        return self.output(hidden), state


def _embedding(config: LanguageNet, vocabulary_size: int) -> Embedding | OneHot:
    if config.input == "one-hot":
        return OneHot(vocabulary_size)
    return Embedding(vocabulary_size, config.embedding or config.hidden)


def _initialize(network: LanguageNetwork, config: LanguageNet) -> None:
    """All weights alike if a range is given; else those of tokens small, and the cells' left."""
    if config.init_range is None:
        nn.init.zeros_(network.output.bias)
    chosen = network.parameters() if config.init_range else network.vocabulary_weights()
    for parameter in chosen:
        nn.init.uniform_(parameter, -(config.init_range or 0.1), config.init_range or 0.1)
