"""Attention: which places of a memory matter now, and what is there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elman._errors import ShapeError
from elman.scan import mask


class Memory(NamedTuple):
    """What is attended to, batch first: values, their keys, made once, and which are real."""

    values: Float[Tensor, "B S M"]
    keys: Float[Tensor, "B S _"]
    real: Bool[Tensor, "B S"]


class Attention(nn.Module, ABC):
    r"""A mean of a memory's values :math:`m_s`, weighted by how well they suit a query :math:`q_t`.

    .. math::
        a_{ts} = \frac{e^{e_{ts}}}{\sum_{s'} e^{e_{ts'}}}, \qquad c_t = \sum_s a_{ts} m_s

    A subclass gives the score :math:`e_{ts}`. The memory may be the states of an encoder, the
    regions of an image, anything with places: ``remember`` makes its keys once. Padding has weight
    0, whatever stands there; a memory without a place gives zeros.

    Args:
        query_size: the length of a query.
        memory_size: the length of a value.
        size: the length of a key.

    Shapes: queries (time, batch, query_size) to contexts (time, batch, memory_size) and weights
    (time, batch, places).
    """

    def __init__(self, query_size: int, memory_size: int, size: int) -> None:
        super().__init__()
        self.query_size, self.memory_size = query_size, memory_size
        self.keys = nn.Linear(memory_size, size, bias=False)

    def remember(
        self, values: Float[Tensor, "S B M"], lengths: Int[Tensor, "B"] | None = None
    ) -> Memory:
        """The memory of a batch, time first as layers give it; all its places unless ``lengths``.

        Raises:
            ShapeError: the values are not (places, batch, memory_size).
        """
        if values.dim() != 3 or values.shape[-1] != self.memory_size:
            raise ShapeError(
                f"expected values (places, batch, {self.memory_size}), got {tuple(values.shape)}"
            )
        places, batch, _ = values.shape
        if lengths is None:
            lengths = torch.full((batch,), places)
        real = mask(lengths, places, device=values.device)
        first = values.transpose(0, 1).masked_fill(~real.unsqueeze(-1), 0).contiguous()
        return Memory(first, self.keys(first), real)

    @abstractmethod
    def scores(self, query: Float[Tensor, "B T H"], keys: Float[Tensor, "B S _"]) -> Tensor:
        """How well each key suits each query: (batch, time, places)."""

    def forward(
        self, query: Float[Tensor, "T B H"], memory: Memory
    ) -> tuple[Float[Tensor, "T B M"], Float[Tensor, "T B S"]]:
        scores = self.scores(query.transpose(0, 1), memory.keys)
        real = memory.real.unsqueeze(1)
        # The least number, not -inf: a row without a place would be 0 / 0.
        masked = scores.masked_fill(~real, torch.finfo(scores.dtype).min)
        weights = masked.softmax(-1) * real
        context = torch.bmm(weights, memory.values)
        return context.transpose(0, 1), weights.transpose(0, 1)

    def extra_repr(self) -> str:
        return f"query_size={self.query_size}, memory_size={self.memory_size}"


class BahdanauAttention(Attention):
    r"""Additive attention: a small network compares query and value.

    .. math:: e_{ts} = v^\top \tanh(W_q q_t + b + W_m m_s)

    With all queries at once it holds (batch, time, places, size) numbers.

    Args:
        query_size: the length of a query.
        memory_size: the length of a value.
        size: the units that compare them; ``query_size`` unless given.

    Shapes: see `Attention`.

    Example:
        >>> attention = BahdanauAttention(4, 6)
        >>> memory = attention.remember(torch.randn(5, 2, 6), torch.tensor([5, 3]))
        >>> context, weights = attention(torch.randn(7, 2, 4), memory)
        >>> context.shape, weights[0, 1, 3:].tolist()
        (torch.Size([7, 2, 6]), [0.0, 0.0])

    References:
        Bahdanau, Cho & Bengio (2015), https://arxiv.org/abs/1409.0473
    """

    def __init__(self, query_size: int, memory_size: int, size: int | None = None) -> None:
        size = size or query_size
        super().__init__(query_size, memory_size, size)
        self.queries = nn.Linear(query_size, size)
        self.compared = nn.Linear(size, 1, bias=False)

    def scores(self, query: Float[Tensor, "B T H"], keys: Float[Tensor, "B S _"]) -> Tensor:
        both = self.queries(query).unsqueeze(2) + keys.unsqueeze(1)
        scores: Tensor = self.compared(torch.tanh(both)).squeeze(-1)
        return scores


class LuongAttention(Attention):
    r"""Multiplicative attention: a matrix product compares all queries with all values at once.

    .. math:: e_{ts} = q_t^\top W m_s

    Args:
        query_size: the length of a query.
        memory_size: the length of a value.

    Shapes: see `Attention`.

    Example:
        >>> attention = LuongAttention(4, 6)
        >>> memory = attention.remember(torch.randn(5, 2, 6), torch.tensor([5, 3]))
        >>> attention(torch.randn(7, 2, 4), memory)[1].sum(-1).allclose(torch.ones(7, 2))
        True

    References:
        Luong, Pham & Manning (2015), https://arxiv.org/abs/1508.04025, there called "general".
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size, query_size)

    def scores(self, query: Float[Tensor, "B T H"], keys: Float[Tensor, "B S _"]) -> Tensor:
        return torch.bmm(query, keys.transpose(1, 2))
