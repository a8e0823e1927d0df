"""The network that forecasts, and three kinds of distribution of a step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.tasks._forecast_config import ForecastNet
from elman.tasks._layers import pooled

DRAWS = 1000
"""Draws whose quantiles are those of a negative binomial: their error is about 1 % of rank."""


class Interval(NamedTuple):
    """The forecast of each step, in the unit of the data: each (batch, horizon)."""

    value: Tensor
    low: Tensor
    median: Tensor
    high: Tensor


class Output(ABC):
    """From numbers (batch, horizon, size) that the network gives to a distribution of values.

    ``middle`` and ``scale`` (batch, 1) are those of the window: the network reads
    (z - middle) / scale. ``widening`` is by how much spreads are to be multiplied.
    """

    size: int
    loss_name = "nll"
    floor = 1e-12
    """The least half of an interval that is widened; of counts, one."""

    least = -torch.inf
    """No value is less."""

    def __init__(self, interval: float) -> None:
        self.tails = ((1 - interval) / 2, (1 + interval) / 2)

    @abstractmethod
    def loss(
        self, raw: Tensor, target: Tensor, middle: Tensor, scale: Tensor, widening: Tensor
    ) -> Tensor:
        """Of each step; targets must be finite."""

    @abstractmethod
    def interval(self, raw: Tensor, middle: Tensor, scale: Tensor) -> Interval:
        """Before any widening."""


class Gaussian(Output):
    r"""A mean and a deviation.

    .. math:: -\ln p(z) = \ln(\sigma\sqrt{2\pi}) + \frac{(z - \mu)^2}{2\sigma^2}, \quad
        \mu = m + s o_1, \; \sigma = w s\, \mathrm{softplus}(o_2)
    """

    size = 2

    def loss(
        self, raw: Tensor, target: Tensor, middle: Tensor, scale: Tensor, widening: Tensor
    ) -> Tensor:
        mean, deviation = self._moments(raw, middle, scale)
        deviation = deviation * widening
        return (
            0.5 * math.log(2 * math.pi) + deviation.log() + ((target - mean) / deviation) ** 2 / 2
        )

    def interval(self, raw: Tensor, middle: Tensor, scale: Tensor) -> Interval:
        mean, deviation = self._moments(raw, middle, scale)
        half = deviation * torch.special.ndtri(torch.tensor(self.tails[1], dtype=torch.float64))
        return Interval(mean, mean - half, mean, mean + half)

    @staticmethod
    def _moments(raw: Tensor, middle: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        raw = raw.double()
        return middle + scale * raw[..., 0], scale * (F.softplus(raw[..., 1]) + 1e-4)


class Counts(Output):
    r"""A negative binomial: counts whose variance grows faster than their mean.

    .. math:: \mu = s\, \mathrm{softplus}(o_1), \; \alpha = \mathrm{softplus}(o_2) / \sqrt s, \quad
        \mathrm{var} = \mu + \alpha\mu^2

    References:
        Salinas et al. 2020, "DeepAR: probabilistic forecasting with autoregressive recurrent
        networks", eq. 5 and section 3.3.
    """

    size, floor, least = 2, 1.0, 0.0

    def loss(
        self, raw: Tensor, target: Tensor, middle: Tensor, scale: Tensor, widening: Tensor
    ) -> Tensor:
        mean, shape = self._moments(raw, scale)
        size, odds = 1 / shape, mean * shape
        ways = torch.lgamma(target + size) - torch.lgamma(size) - torch.lgamma(target + 1)
        return size * odds.log1p() - ways - target * (odds / (1 + odds)).log()

    def interval(self, raw: Tensor, middle: Tensor, scale: Tensor) -> Interval:
        mean, shape = (t.cpu().numpy() for t in self._moments(raw, scale))
        draws = np.random.default_rng(0).negative_binomial(
            1 / shape, 1 / (1 + mean * shape), size=(DRAWS, *mean.shape)
        )
        quantiles = np.quantile(draws, [self.tails[0], 0.5, self.tails[1]], axis=0, method="higher")
        low, median, high = torch.from_numpy(quantiles).to(raw.device).double()
        return Interval(torch.from_numpy(mean).to(raw.device), low, median, high)

    @staticmethod
    def _moments(raw: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        positive = F.softplus(raw.double()) + 1e-4
        return scale * positive[..., 0], positive[..., 1] / scale.sqrt()


class Quantiles(Output):
    r"""Quantiles, each learned by its pinball loss, and then sorted.

    .. math:: L_\tau(z, q) = \max(\tau (z - q), (\tau - 1)(z - q))

    References:
        Koenker & Bassett 1978, "Regression quantiles";
        Wen et al. 2017, "A multi-horizon quantile recurrent forecaster";
        Chernozhukov, Fernández-Val & Galichon 2010, "Quantile and probability curves without
        crossing", for the sorting.
    """

    loss_name = "pinball"

    def __init__(self, interval: float) -> None:
        super().__init__(interval)
        self.levels = sorted({self.tails[0], 0.25, 0.5, 0.75, self.tails[1]})
        self.size = len(self.levels)

    def loss(
        self, raw: Tensor, target: Tensor, middle: Tensor, scale: Tensor, widening: Tensor
    ) -> Tensor:
        quantiles = middle.unsqueeze(-1) + scale.unsqueeze(-1) * raw.double()
        if not raw.requires_grad:
            quantiles = quantiles.sort(-1).values
        median = quantiles[..., self.levels.index(0.5)].unsqueeze(-1)
        over = target.unsqueeze(-1) - (median + widening * (quantiles - median))
        levels = over.new_tensor(self.levels)
        return torch.maximum(levels * over, (levels - 1) * over).mean(-1)

    def interval(self, raw: Tensor, middle: Tensor, scale: Tensor) -> Interval:
        quantiles = middle.unsqueeze(-1) + scale.unsqueeze(-1) * raw.double().sort(-1).values
        low, median, high = (
            quantiles[..., self.levels.index(level)]
            for level in (self.tails[0], 0.5, self.tails[1])
        )
        return Interval(median, low, median, high)


OUTPUTS: dict[str, type[Output]] = {
    "gaussian": Gaussian,
    "negative-binomial": Counts,
    "quantiles": Quantiles,
}


class ForecastNetwork(nn.Module):
    r"""A window is read once; from its last state come all steps ahead at once.

    .. math:: h = \mathrm{recurrent}(x_{1..C})_C, \quad
        o_k = V [\tanh(W_k h + U f_k + b_k); f_k] + c, \quad k = 1..H

    :math:`f_k` is what is known of step k: covariates and the value a season before. Without
    recurrence h comes of the C places of the window.

    Args:
        inputs: numbers of a step that is read.
        known: numbers that are known of a step ahead (f).
        context, horizon: C and H.
        outputs: numbers for each step.

    Shapes: x (batch, C, inputs), lengths (batch,) and f (batch, H, known) to (batch, H, outputs).

    References:
        Wen et al. 2017, "A multi-horizon quantile recurrent forecaster".
    """

    def __init__(
        self, config: ForecastNet, inputs: int, known: int, context: int, horizon: int, outputs: int
    ) -> None:
        super().__init__()
        self.dropout, width = config.dropout, config.hidden
        self.recurrent, self.pool = pooled(
            config, inputs, context, "last", bidirectional=config.bidirectional
        )
        self.ahead = nn.Linear(self.pool.output_size, horizon * width)
        self.known = nn.Linear(known, width, bias=False)
        self.output = nn.Linear(width + known, outputs)
        self.register_buffer("widening", torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor, lengths: Tensor, known: Tensor) -> Tensor:
        steps = x.transpose(0, 1)
        states, _ = self.recurrent(steps, lengths=lengths)
        last = F.dropout(self.pool(states, lengths), self.dropout, self.training)
        each = self.ahead(last).unflatten(-1, (-1, self.known.out_features))[:, : known.shape[1]]
        hidden = torch.tanh(each + self.known(known))
        outputs: Tensor = self.output(torch.cat([hidden, known], -1))
        return outputs
