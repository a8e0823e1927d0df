"""A recurrent decoder: from a vector, and a memory if there is one, to a sequence of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_flatten, tree_unflatten

from elman._errors import ConfigError
from elman.layers import Layer
from elman.nn._attention import Attention, Memory
from elman.nn._embedding import Embedding


class Decoded(NamedTuple):
    """What a token is scored from, at each step, and where the decoder looked; None if nowhere."""

    states: Tensor
    weights: Tensor | None


class Decoder(nn.Module):
    r"""Recurrent layers that say one token after the other, each from all before it.

    .. math::
        s_0 = \tanh(W_0 v + b_0), \qquad s_t = f(s_{t-1}, E_{y_{t-1}}), \qquad
        o_t = \tanh(W_o [s_t; c_t] + b_o)

    where :math:`v` is the vector that it begins from. The context :math:`c_t` is what ``attention``
    returns for :math:`s_t`; without attention :math:`o_t = s_t`, and all that the decoder knows of
    the source is :math:`v`. The recurrence is then one scan over the whole target, with and without
    attention (Luong et al.). With ``feed`` the context is computed before the step, for
    :math:`s_{t-1}`, and goes into it, :math:`s_t = f(s_{t-1}, [E_{y_{t-1}}; c_t])`, as Bahdanau et
    al. have it: each step then waits for the one before.

    Args:
        embedding: of the tokens.
        layer: what repeats over time, time first; its input is as long as an embedding, and as a
            value of the memory on top of that with ``feed``.
        start_size: the length of the vector that it begins from.
        attention: how it looks at a memory; its queries are as long as the layer's output.
        feed: whether the context goes into the recurrence.
        dropout: share of the embedding's and the output's numbers that are dropped in training.

    Shapes: tokens (time, batch) to states (time, batch, output_size) and weights
    (time, batch, places).

    Raises:
        ConfigError: sizes or layouts do not fit, or there is nothing to feed.

    Example:
        >>> import elman
        >>> from elman.nn import Embedding, LuongAttention
        >>> layer = elman.Recurrent(elman.cells.GRU(3, 4), batch_first=False)
        >>> decoder = Decoder(Embedding(10, 3), layer, 6, LuongAttention(4, 6))
        >>> regions, image = torch.randn(5, 2, 6), torch.randn(2, 6)
        >>> memory, state = decoder.attention.remember(regions), decoder.begin(image)
        >>> words = torch.tensor([[1, 1], [7, 8], [2, 3]])
        >>> states, weights = decoder(words, state, memory)
        >>> for word in words:
        ...     last, _, state = decoder.step(word, state, memory)
        >>> torch.allclose(states[-1], last, atol=1e-6)
        True

    References:
        Sutskever, Vinyals & Le (2014), https://arxiv.org/abs/1409.3215, without attention.
        Bahdanau, Cho & Bengio (2015), https://arxiv.org/abs/1409.0473
        Luong, Pham & Manning (2015), https://arxiv.org/abs/1508.04025
    """

    def __init__(
        self,
        embedding: Embedding,
        layer: Layer,
        start_size: int,
        attention: Attention | None = None,
        *,
        feed: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        memory_size = attention.memory_size if attention is not None else 0
        _check(embedding, layer, attention, memory_size if feed else 0, feed)
        self.embedding, self.layer, self.attention = embedding, layer, attention
        self.feed, self.dropout, self.output_size = feed, dropout, layer.output_size
        leaves, self._structure = tree_flatten(layer.initial_state(1))
        self._sizes = [leaf.shape[1] for leaf in leaves]
        self.start = nn.Linear(start_size, sum(self._sizes))
        if attention is not None:
            self.join = nn.Linear(layer.output_size + memory_size, layer.output_size)

    def begin(self, vector: Float[Tensor, "B I"]) -> Any:
        """The layer's state before the first step."""
        states = torch.split(torch.tanh(self.start(vector)), self._sizes, -1)
        return tree_unflatten([state.contiguous() for state in states], self._structure)

    def forward(
        self,
        tokens: Int[Tensor, "T B"],
        state: Any,
        memory: Memory | None = None,
        lengths: Int[Tensor, "B"] | None = None,
    ) -> Decoded:
        """Of whole targets, each step told the right token before it; padding means nothing."""
        x = F.dropout(self.embedding(tokens), self.dropout, self.training)
        if self.feed:
            outputs, contexts, weights = self._fed(x, state, memory)
            return Decoded(self._outputs(outputs, contexts), weights)
        outputs, _ = self.layer(x, state, lengths=lengths)
        if self.attention is None:
            return Decoded(self._outputs(outputs, None), None)
        contexts, weights = self.attention(outputs, memory)
        return Decoded(self._outputs(outputs, contexts), weights)

    def _fed(self, x: Tensor, state: Any, memory: Memory | None) -> Iterable[Tensor]:
        """Outputs, contexts and weights of all steps; what waits for nothing is left for later."""
        steps = []
        for x_t in x.unbind(0):
            *outputs, state = self._step(x_t, state, memory)
            steps.append(outputs)
        return map(torch.stack, zip(*steps, strict=True))

    def step(
        self, tokens: Int[Tensor, "B"], state: Any, memory: Memory | None = None
    ) -> tuple[Tensor, Tensor | None, Any]:
        """States (rows, output_size), weights (rows, places) and the layer's state after one step.

        There may be several rows for each one of the memory, side by side, as a beam has them.
        """
        output, context, weights, state = self._step(self.embedding(tokens), state, memory)
        return self._outputs(output, context), weights, state

    def _step(
        self, x: Tensor, state: Any, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Any]:
        if self.attention is None:
            output, state = self.layer.step(x, state)
            return output, None, None, state
        if self.feed:
            context, weights = self._looked(_top(state), memory)
            output, state = self.layer.step(torch.cat([x, context], -1), state)
        else:
            output, state = self.layer.step(x, state)
            context, weights = self._looked(output, memory)
        return output, context, weights, state

    def _outputs(self, outputs: Tensor, contexts: Tensor | None) -> Tensor:
        if contexts is not None:
            outputs = torch.tanh(self.join(torch.cat([outputs, contexts], -1)))
        return F.dropout(outputs, self.dropout, self.training)

    def _looked(self, query: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor]:
        """Contexts and weights for (rows, H), so many rows side by side for each of the memory."""
        assert self.attention is not None
        assert memory is not None
        beside = query.view(len(memory.values), -1, query.shape[-1]).transpose(0, 1)
        context, weights = self.attention(beside, memory)
        return context.transpose(0, 1).flatten(0, 1), weights.transpose(0, 1).flatten(0, 1)

    def extra_repr(self) -> str:
        return f"feed={self.feed}, dropout={self.dropout}"


def _top(state: Any) -> Tensor:
    """The first state of the last layer."""
    while not isinstance(state[0], Tensor):
        state = state[-1]
    top: Tensor = state[0]
    return top


def _check(
    embedding: Embedding, layer: Layer, attention: Attention | None, fed: int, feed: bool
) -> None:
    if layer.batch_first:
        raise ConfigError("a decoder's layer has time first: make it with batch_first=False")
    if feed and attention is None:
        raise ConfigError("without attention there is no context to feed: leave out feed=True")
    if layer.input_size != embedding.output_size + fed:
        raise ConfigError(
            f"expected a layer with input_size={embedding.output_size + fed}, the embedding's "
            f"{embedding.output_size} and {fed} of a context, got {layer.input_size}"
        )
    if attention is not None and attention.query_size != layer.output_size:
        raise ConfigError(
            f"expected attention with query_size={layer.output_size}, the layer's output, got "
            f"{attention.query_size}"
        )
