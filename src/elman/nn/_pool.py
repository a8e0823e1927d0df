"""From the states of all steps to one vector."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elman._errors import ConfigError, nearest
from elman.scan import mask

POOLS = ("last", "mean", "max", "mean+max", "attention")
"""The kinds of `Pool`."""


class Pool(nn.Module):
    r"""One vector for each row of a ragged batch; padding never counts, and no step gives zeros.

    =========  =====================================================================================
    kind       the vector
    =========  =====================================================================================
    last       the state after the last real step; of a backward direction, after the first step
    mean       :math:`\frac1T \sum_t h_t`
    max        :math:`\max_t h_t`, unit by unit
    mean+max   both, one after the other
    attention  :math:`\sum_t a_t h_t` with :math:`a = \mathrm{softmax}(v^\top \tanh(W h_t + b))`
    =========  =====================================================================================

    Args:
        kind: which.
        input_size: the length of a state (H), of both directions together.
        directions: 2 where the second half of a state is that of a backward layer.

    Shapes: states (time, batch, H) and lengths (batch,) to (batch, output_size).

    Raises:
        ConfigError: there is no such kind.

    Example:
        >>> states = torch.tensor([[[1.0], [5.0]], [[3.0], [0.0]]])  # two rows, of 2 and 1 steps
        >>> Pool("mean", 1)(states, torch.tensor([2, 1]))
        tensor([[2.],
                [5.]])

    References:
        Conneau et al. 2017, "Supervised learning of universal sentence representations", for max.
        Yang et al. 2016, "Hierarchical attention networks", for attention.
    """

    def __init__(self, kind: str, input_size: int, directions: int = 1) -> None:
        super().__init__()
        if kind not in POOLS:
            raise ConfigError(f"no pooling is called {kind!r}: {nearest(kind, POOLS)}")
        self.kind, self.directions = kind, directions
        self.output_size = input_size * (2 if kind == "mean+max" else 1)
        if kind == "attention":
            self.hidden = nn.Linear(input_size, input_size)
            self.query = nn.Linear(input_size, 1, bias=False)

    def forward(self, states: Float[Tensor, "T B H"], lengths: Int[Tensor, "B"]) -> Tensor:
        real = mask(lengths, len(states), device=states.device).T.unsqueeze(-1)
        match self.kind:
            case "last":
                return self._last(states, lengths) * real[0]
            case "mean":
                return _mean(states, real)
            case "max":
                return _max(states, real)
            case "mean+max":
                return torch.cat([_mean(states, real), _max(states, real)], -1)
        scores = self.query(torch.tanh(self.hidden(states))).masked_fill(~real, -torch.inf)
        weights = (scores - scores.amax(0).clamp(min=-1e30)).exp()
        share: Tensor = weights / weights.sum(0).clamp(min=1e-30)
        return (share * states).sum(0)

    def _last(self, states: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(states.shape[1], device=states.device)
        last = states[(lengths.to(states.device) - 1).clamp(min=0), rows]
        if self.directions == 1:
            return last
        half = states.shape[-1] // 2
        return torch.cat([last[:, :half], states[0, :, half:]], -1)

    def extra_repr(self) -> str:
        return f"{self.kind!r}, output_size={self.output_size}"


def _mean(states: Tensor, real: Tensor) -> Tensor:
    return (states * real).sum(0) / real.sum(0).clamp(min=1)


def _max(states: Tensor, real: Tensor) -> Tensor:
    highest = states.masked_fill(~real, -torch.inf).amax(0)
    return highest.masked_fill(~real[0], 0)
