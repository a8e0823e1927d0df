"""The network of translation: an encoder, and a decoder that may look at what it read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman import decode
from elman.decode import Hypothesis
from elman.nn import (
    Decoder,
    LinearCrossEntropy,
    Memory,
    Pool,
    linear_cross_entropy,
)
from elman.scan import mask
from elman.tasks._layers import attention, embedding, recurrent
from elman.tasks._translate_config import TranslateNet


class TranslateNetwork(nn.Module):
    r"""From a source to a target, token by token.

    .. math:: m_s = \mathrm{encoder}(x)_s, \qquad
        p(y_t \mid y_{<t}, x) = \mathrm{softmax}(W o_t + b)

    with the output :math:`o_t` of a `elman.nn.Decoder` that begins from the encoder's last states
    and attends to all of them, or not. The end token stands before the first one, too.

    In training a share ``sampling`` of the input tokens are predictions of the decoder itself: a
    first pass over the target makes them, a second one reads them, so that both stay one scan.
    The task lets that share grow from epoch to epoch.

    Args:
        config: sizes and kinds.
        source, target: entries of the vocabularies.
        end: the target's token for the end.

    References:
        Sutskever, Vinyals & Le 2014; Bahdanau, Cho & Bengio 2015; Luong, Pham & Manning 2015.
        Bengio et al. 2015, "Scheduled sampling for sequence prediction with recurrent networks".
        Duckworth et al. 2019, "Parallel scheduled sampling".
    """

    def __init__(self, config: TranslateNet, source: int, target: int, end: int) -> None:
        super().__init__()
        self.end, self.dropout = end, config.dropout
        self.smoothing, self.sampling = config.smoothing, 0.0
        both = config.bidirectional
        self.words = embedding(source, config.embedding)
        self.encoder = recurrent(config, config.embedding, bidirectional=both, drop_last=False)
        width = self.encoder.output_size
        self.last = Pool("last", width, directions=1 + both)
        looks = attention(config.attention, config.hidden, width)
        fed = config.attention == "bahdanau" if config.feed is None else config.feed
        self.decoder = Decoder(
            embedding(target, config.embedding),
            recurrent(config, config.embedding + width * fed, drop_last=False),
            width,
            looks,
            feed=fed,
            dropout=config.dropout,
        )
        tied = self.decoder.embedding if config.tied else None
        self.output = LinearCrossEntropy(self.decoder.output_size, target, tie=tied)

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Any, Memory | None]:
        """The decoder's first state and the memory, from tokens (batch, time)."""
        vectors = self._dropped(self.words(x.T))
        states, _ = self.encoder(vectors, lengths=lengths)
        begin = self.decoder.begin(self._dropped(self.last(states, lengths)))
        if self.decoder.attention is None:
            return begin, None
        return begin, self.decoder.attention.remember(self._dropped(states), lengths)

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor, y_lengths: Tensor) -> Tensor:
        """The cross-entropy of targets (batch, time), summed over their real tokens."""
        state, memory = self.encode(x, lengths)
        inputs = self._shifted(y.T)
        if self.training and self.sampling:
            with torch.no_grad():
                states = self.decoder(inputs, state, memory, y_lengths).states
            inputs = self._mixed(inputs, self.scores(states).argmax(-1))
        states = self.decoder(inputs, state, memory, y_lengths).states
        real = mask(y_lengths, len(inputs), device=y.device).T
        return linear_cross_entropy(
            states[real],
            self.output.weight,
            y.T[real],
            self.output.bias,
            label_smoothing=self.smoothing if self.training else 0.0,
            reduction="sum",
        )

    def attention(self, x: Tensor, lengths: Tensor, y: Tensor, y_lengths: Tensor) -> Tensor | None:
        """The attention weights of each target token: (target time, batch, source time)."""
        state, memory = self.encode(x, lengths)
        weights: Tensor | None = self.decoder(self._shifted(y.T), state, memory, y_lengths).weights
        return weights

    def scores(self, states: Tensor) -> Tensor:
        return F.linear(states, self.output.weight, self.output.bias)

    def translate(
        self, x: Tensor, lengths: Tensor, most: Tensor, **options: Any
    ) -> list[list[Hypothesis]]:
        """The best targets of each row, of at most so many tokens; see `elman.decode.beam`."""
        state, memory = self.encode(x, lengths)

        def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
            states, _, state = self.decoder.step(tokens, state, memory)
            return self.scores(states), state

        begin = step(torch.full((len(x),), self.end, device=x.device), state)
        return decode.beam(step, *begin, end=self.end, length=most, **options)

    def _shifted(self, y: Tensor) -> Tensor:
        """The token before each token (time, batch): the inputs of the decoder."""
        return torch.cat([torch.full_like(y[:1], self.end), y[:-1]])

    def _mixed(self, inputs: Tensor, predicted: Tensor) -> Tensor:
        own = torch.rand(inputs.shape, device=inputs.device) < self.sampling
        own[0] = False  # nothing was predicted before the first
        return torch.where(own, self._shifted(predicted), inputs)

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)
