"""The network of tasks that make one vector of a sequence."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from elman.nn import FeedForward, Pool
from elman.tasks._classify_config import ClassifyNet
from elman.tasks._layers import recurrent
from elman.tasks._regress_config import RegressNet
from elman.tasks._table_config import FEEDFORWARD


class SequenceNetwork(nn.Module):
    r"""Vectors of the steps, recurrent layers, pooling, and a linear layer.

    .. math:: h_{1..T} = \mathrm{recurrent}(x_{1..T}), \quad
        z = W\, \mathrm{drop}(\mathrm{pool}(h_{1..T})) + b

    With ``cell = "feedforward"`` a `FeedForward` network takes the place of recurrence and pooling.

    Args:
        first: from a padded batch (batch, steps, ...) to vectors; it has an ``output_size``.
        config: sizes and kinds.
        outputs: numbers that come out.
        steps: how many a feed-forward network sees, unless the configuration says.

    Shapes: x (batch, time, ...) and lengths (batch,) to (batch, outputs).
    """

    def __init__(
        self, first: nn.Module, config: ClassifyNet | RegressNet, outputs: int, steps: int
    ) -> None:
        super().__init__()
        self.dropout, self.first = config.dropout, first
        size = int(first.output_size)  # type: ignore[arg-type]
        self.feedforward: FeedForward | None = None
        if config.cell == FEEDFORWARD:
            window = config.steps or steps
            self.feedforward = FeedForward(size, window, config.hidden, config.layers)
            width = config.hidden
        else:
            both = config.bidirectional
            self.recurrent = recurrent(config, size, bidirectional=both, drop_last=False)
            self.pool = Pool(config.pool, self.recurrent.output_size, 1 + config.bidirectional)
            width = self.pool.output_size
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        vectors = self.first(x.transpose(0, 1))
        if isinstance(self.first, nn.Embedding):  # measured numbers are left as they are
            vectors = F.dropout(vectors, self.dropout, self.training)
        if self.feedforward is not None:
            pooled = self.feedforward(vectors, lengths)
        else:
            states, _ = self.recurrent(vectors, lengths=lengths)
            pooled = self.pool(states, lengths)
        scores: Tensor = self.output(F.dropout(pooled, self.dropout, self.training))
        return scores
