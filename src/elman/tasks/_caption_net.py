"""The network of captioning: convolutions that see, and a decoder that says what."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from elman import cells
from elman._errors import ConfigError
from elman.layers import FeedForward
from elman.nn import (
    Decoder,
    Memory,
    OutputLayer,
)
from elman.tasks._caption_config import CONVOLUTIONS, CaptionNet
from elman.tasks._caption_encoder import encoder_of, map_of
from elman.tasks._layers import attention, embedding, recurrent
from elman.tasks._table_config import FEEDFORWARD


class EncodedImages(NamedTuple):
    """Images after the encoder: the first state of the decoder, and the regions to attend to."""

    state: Any
    memory: Memory | None

    def of(self, images: Tensor) -> EncodedImages:
        """The same for these of the images, each as often as it is there."""
        state = tree_map(lambda s: s[images], self.state)
        memory = self.memory and Memory(*(part[images] for part in self.memory))
        return EncodedImages(state, memory)


class CaptionNetwork(nn.Module):
    r"""An encoder makes regions of an image; a decoder begins from all of them and says words.

    .. math:: m_s = p_s + \mathrm{encoder}(\mathrm{image})_s, \quad
        v = \mathrm{relu}(W_v [m_1; \dots; m_S] + b_v), \quad
        s_0 = \tanh(W_0 v + b_0), \quad z_t = W_{hy}\, o_t + b_y

    :math:`p_s` is learned for each region and says where it lies; see `elman.nn.Decoder` for
    :math:`o_t`. With
    ``cell = "feedforward"`` a `FeedForward` network says each word from its place and the image
    alone.

    Args:
        config: sizes and kinds.
        size: the side of an image.
        vocabulary_size: V.
        words: how many a feed-forward network says, with the end.

    Shapes: images (batch, 3, size, size) as bytes, tokens (time, batch) to scores
    (time, batch, V).

    Raises:
        ConfigError: the encoder leaves a single region, or cannot be made.

    References:
        Vinyals et al. 2015, "Show and tell", https://arxiv.org/abs/1411.4555, without attention.
        Xu et al. 2015, "Show, attend and tell", https://arxiv.org/abs/1502.03044
    """

    def __init__(self, config: CaptionNet, size: int, vocabulary_size: int, words: int) -> None:
        super().__init__()
        self.convolutions = encoder_of(config)
        channels, self.side = map_of(self.convolutions, size)
        if self.side == 1:
            layers, fewer = str(config.encoder), ""
            if config.encoder == CONVOLUTIONS:
                layers, fewer = f"{len(config.channels)} convolutions", " or fewer model.channels"
            raise ConfigError(
                f"after {layers} an image is a single region: give a larger data.size{fewer}"
            )
        regions = self.side * self.side
        self.places = nn.Parameter(torch.randn(channels, regions) * 0.3)
        self.whole = nn.Linear(regions * channels, config.hidden)
        self.decoder: Decoder | PlaceByPlace = (
            PlaceByPlace(config, words)
            if config.cell == FEEDFORWARD
            else _decoder(config, channels, vocabulary_size)
        )
        self.output = OutputLayer(self.decoder.output_size, vocabulary_size)

    def encode(self, images: Tensor) -> EncodedImages:
        """Images (batch, 3, size, size) to the first state of the decoder, and to regions."""
        regions = self.convolutions(images).flatten(2) + self.places
        memory = None
        if self.decoder.attention is not None:
            memory = self.decoder.attention.remember(regions.permute(2, 0, 1))
        whole = torch.relu(self.whole(regions.flatten(1)))
        return EncodedImages(self.decoder.begin(whole), memory)

    def forward(
        self, encoded: EncodedImages, tokens: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Scores of the word after each token, and the attention; rows as in ``encoded``."""
        states, weights = self.decoder(tokens, encoded.state, encoded.memory, lengths)
        return self.output(states), weights

    def step(self, tokens: Tensor, state: Any, memory: Memory | None) -> tuple[Tensor, Any]:
        """One word of each row; there may be several rows for each image, side by side."""
        states, _, state = self.decoder.step(tokens, state, memory)
        return self.output(states), state


def _decoder(config: CaptionNet, channels: int, vocabulary_size: int) -> Decoder:
    hidden = config.hidden
    looks = attention(config.attention, hidden, channels)
    words = embedding(vocabulary_size, config.embedding)
    feed = config.attention == "bahdanau"
    gate = cells.by_name(config.cell).memory_gate
    if config.init is None and gate is not None:
        config = config.model_copy(update={"init": "forget_bias"})
    layer = recurrent(config, config.embedding + channels * feed, drop_last=False)
    return Decoder(words, layer, hidden, looks, feed=feed, dropout=config.dropout)


class PlaceByPlace(nn.Module):
    """In the place of a decoder: what is said at each place, whatever was said before."""

    attention = None

    def __init__(self, config: CaptionNet, words: int) -> None:
        super().__init__()
        self.dropout, self.output_size = config.dropout, config.hidden
        self.first = FeedForward(config.hidden, 1, config.hidden, config.layers)
        self.words = nn.Linear(config.hidden, words * config.hidden)

    def begin(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """What will be said at all places (batch, words, hidden), and how much of it was."""
        hidden = self.words(self.first.step(vector)[0])
        states = F.dropout(torch.relu(hidden), self.dropout, self.training)
        begin = torch.zeros(len(vector), dtype=torch.long, device=vector.device)
        return states.view(len(vector), -1, self.output_size), begin

    def forward(
        self, tokens: Tensor, state: tuple[Tensor, Tensor], *_: object
    ) -> tuple[Tensor, None]:
        states = [self.step(token, (state[0], state[1] + t))[0] for t, token in enumerate(tokens)]
        return torch.stack(states), None

    def step(
        self, tokens: Tensor, state: tuple[Tensor, Tensor], *_: object
    ) -> tuple[Tensor, None, tuple[Tensor, Tensor]]:
        """One word; after the last place, what is said there again."""
        states, at = state
        rows = torch.arange(len(states), device=states.device)
        return states[rows, at.clamp(max=states.shape[1] - 1)], None, (states, at + 1)
