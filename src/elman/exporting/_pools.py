"""Pooling of the steps up to now, by a state that each step renews."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from elman.nn import Pool

_LOW = -1e30


class StreamingPool(nn.Module):
    r"""What a `Pool` makes of the steps up to now.

    The mean keeps a sum, the maximum itself, and attention the sums of its softmax:

    .. math:: m_t = \max(m_{t-1}, e_t), \quad
        s_t = s_{t-1} e^{m_{t-1} - m_t} + e^{e_t - m_t}, \quad
        v_t = v_{t-1} e^{m_{t-1} - m_t} + e^{e_t - m_t} h_t

    Args:
        pool: the pool of whole sequences.
        size: the length of a state.

    References:
        Milakov & Gimelshein 2018, "Online normalizer calculation for softmax".
    """

    def __init__(self, pool: Pool, size: int) -> None:
        super().__init__()
        self.pool, self.size = pool, size

    def initial_state(self, rows: int) -> dict[str, Tensor]:
        kind, state = self.pool.kind, dict[str, Tensor]()
        if kind in ("mean", "mean+max"):
            state |= {"sum": torch.zeros(rows, self.size), "count": torch.zeros(rows, 1)}
        if kind in ("max", "mean+max"):
            state["most"] = torch.full((rows, self.size), _LOW)
        if kind == "attention":
            state |= {
                "highest": torch.full((rows, 1), _LOW),
                "weights": torch.zeros(rows, 1),
                "sum": torch.zeros(rows, self.size),
            }
        return state

    def step(self, hidden: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        kind, new, vectors = self.pool.kind, dict[str, Tensor](), list[Tensor]()
        if kind == "last":
            return hidden, new
        if kind == "attention":
            return self._attend(hidden, state)
        if "mean" in kind:
            new |= {"sum": state["sum"] + hidden, "count": state["count"] + 1}
            vectors.append(new["sum"] / new["count"])
        if "max" in kind:
            new["most"] = torch.maximum(state["most"], hidden)
            vectors.append(new["most"])
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, -1), new

    def _attend(self, hidden: Tensor, state: Any) -> tuple[Tensor, dict[str, Tensor]]:
        score = self.pool.query(torch.tanh(self.pool.hidden(hidden)))
        highest = torch.maximum(state["highest"], score)
        old, new = (state["highest"] - highest).exp(), (score - highest).exp()
        weights = state["weights"] * old + new
        total = state["sum"] * old + new * hidden
        return total / weights, {"highest": highest, "weights": weights, "sum": total}
