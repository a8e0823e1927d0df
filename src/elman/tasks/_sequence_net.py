"""The network of tasks that make one vector of a sequence."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from elman.tasks._classify_config import ClassifyNet
from elman.tasks._layers import pooled
from elman.tasks._regress_config import RegressNet


class SequenceNetwork(nn.Module):
    r"""Vectors of the steps, recurrent layers, pooling, and a linear layer.

    .. math:: h_{1..T} = \mathrm{recurrent}(x_{1..T}), \quad
        z = W\, \mathrm{drop}(\mathrm{pool}(h_{1..T})) + b

    Args:
        first: from a padded batch (batch, steps, ...) to vectors; it has an ``output_size``.
        config: sizes and kinds.
        outputs: numbers that come out.
        steps: how many a network without recurrence sees, unless the configuration says.

    Shapes: x (batch, time, ...) and lengths (batch,) to (batch, outputs).
    """

    def __init__(
        self, first: nn.Module, config: ClassifyNet | RegressNet, outputs: int, steps: int
    ) -> None:
        super().__init__()
        self.dropout, self.first = config.dropout, first
        size = int(first.output_size)  # type: ignore[arg-type]
        self.recurrent, self.pool = pooled(
            config, size, config.steps or steps, config.pool, bidirectional=config.bidirectional
        )
        self.output = nn.Linear(self.pool.output_size, outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        vectors = self.first(x.transpose(0, 1))
        if isinstance(self.first, nn.Embedding):  # measured numbers are left as they are
            vectors = F.dropout(vectors, self.dropout, self.training)
        states, _ = self.recurrent(vectors, lengths=lengths)
        vector = self.pool(states, lengths)
        scores: Tensor = self.output(F.dropout(vector, self.dropout, self.training))
        return scores
